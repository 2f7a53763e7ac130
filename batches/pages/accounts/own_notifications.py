"""A person's own notifications."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.integrations import personal_notifications
from batches.pages.accounts.forms import OwnNotifications
from batches.pages.accounts.your_account import account_page, self_of
from batches.pages.common import refusals_in


@require_POST
def own_notifications(request: HttpRequest) -> HttpResponse:
    form = OwnNotifications(request.POST, instance=personal_notifications.choices_of(self_of(request)))
    if form.is_valid():
        with refusals_in(form):
            personal_notifications.choose(form.save(commit=False))
            messages.success(request, "Saved.")
            return redirect(reverse("batches:account") + "#notifications")
    return account_page(request, notify_form=form)
