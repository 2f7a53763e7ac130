"""Uploaded files are held in memory up to the limit and never touch the disk."""

from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler


class LimitedUpload(FileUploadHandler):
    """Keeps each file up to CE_UPLOAD_BYTES. For a larger file it keeps only name and size.

    So a file that is too large does not affect the other files of the request. A request that is larger than all its files may
    be together is refused before it is read.
    """

    def handle_raw_input(
        self, input_data: Any, META: dict[str, Any], content_length: int, boundary: str, encoding: str | None = None
    ) -> None:
        """Raises RequestDataTooBig if the Content-Length is too large."""
        files = settings.DATA_UPLOAD_MAX_NUMBER_FILES or 1
        if content_length > files * settings.CE_UPLOAD_BYTES + settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig("The files of one request are too large together.")

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Start the next file."""
        super().new_file(*args, **kwargs)
        self.content = BytesIO()
        self.fits = True

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Keep the chunk. Drop the whole file once it exceeds the limit."""
        if start + len(raw_data) > settings.CE_UPLOAD_BYTES:
            self.fits = False
            self.content = BytesIO()
        if self.fits:
            self.content.write(raw_data)

    def file_complete(self, file_size: int) -> "UploadedFile[Any]":
        """The file, with its real size."""
        self.content.seek(0)
        return InMemoryUploadedFile(
            self.content, self.field_name, self.file_name, self.content_type, file_size, self.charset, self.content_type_extra
        )


def is_too_large(upload: "UploadedFile[Any]") -> bool:
    """Whether the file exceeded the limit, so that its content was dropped."""
    return (upload.size or 0) > settings.CE_UPLOAD_BYTES
