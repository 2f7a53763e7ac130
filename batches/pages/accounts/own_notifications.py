"""A person's own notifications."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.core.errors import BatchError
from batches.integrations import personal_notifications
from batches.pages.accounts.forms import OwnNotifications
from batches.pages.accounts.your_account import account_page, self_of


@require_POST
def own_notifications(request: HttpRequest) -> HttpResponse:
    form = OwnNotifications(request.POST, instance=personal_notifications.choices_of(self_of(request)))
    if form.is_valid():
        try:
            personal_notifications.choose(form.save(commit=False))
        except BatchError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Saved.")
            return redirect(reverse("batches:account") + "#notifications")
    return account_page(request, notify_form=form)
