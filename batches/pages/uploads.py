"""Uploaded files are held in memory up to the limit and never touch the disk."""

from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler


class LimitedUpload(FileUploadHandler):
    """Keeps each file up to CE_UPLOAD_BYTES; of a larger one nothing is kept but its name and its true size.

    So one file that is too large does not spoil the others of the same request. A request larger than all of its files
    may be together is refused before it is read.
    """

    def handle_raw_input(
        self, input_data: Any, META: dict[str, Any], content_length: int, boundary: str, encoding: str | None = None
    ) -> None:
        """Raises RequestDataTooBig by the announced length alone."""
        files = settings.DATA_UPLOAD_MAX_NUMBER_FILES or 1
        if content_length > files * settings.CE_UPLOAD_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig("The files of one request are too large together.")

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """The next file of the request begins."""
        super().new_file(*args, **kwargs)
        self.content = BytesIO()
        self.fits = True

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Keep the chunk, unless the file has grown past the limit: then let go of what came before as well."""
        if start + len(raw_data) > settings.CE_UPLOAD_BYTES:
            self.fits = False
            self.content = BytesIO()
        if self.fits:
            self.content.write(raw_data)

    def file_complete(self, file_size: int) -> "UploadedFile[Any]":
        """The file, with the size it really had."""
        self.content.seek(0)
        return InMemoryUploadedFile(
            self.content, self.field_name, self.file_name, self.content_type, file_size, self.charset, self.content_type_extra
        )


def is_too_large(upload: "UploadedFile[Any]") -> bool:
    """Whether the file was larger than the limit, so that nothing of it was kept."""
    return (upload.size or 0) > settings.CE_UPLOAD_BYTES
