"""Make an API token, and revoke one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.accounts import api_tokens
from batches.accounts.roles import MANAGE_PEOPLE
from batches.models import ApiToken
from batches.pages.accounts.forms import TokenNew
from batches.pages.accounts.people import base_url
from batches.pages.accounts.sign_in import confirmed
from batches.pages.accounts.your_account import account_page, self_of
from batches.pages.common import act, actor_of, refusals_in


@require_POST
@confirmed
def token_new(request: HttpRequest) -> HttpResponse:
    """Create a token. Its text is only in this response."""
    form = TokenNew(request.POST)
    if form.is_valid():
        with refusals_in(form):
            data = form.cleaned_data
            made, text = api_tokens.make_token(
                name=data["name"], days=form.days, actor=actor_of(request), scope=data["scope"] or "read", project=data["project"]
            )
            return render(request, "accounts/api_token.html", {"token": made, "text": text, "address": base_url(request)}, status=201)
    return account_page(request, token_form=form)


@require_POST
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke one's own token, or any as an administrator; for others it is not found."""
    seen = ApiToken.objects.select_related("user")
    if not request.user.has_perm(MANAGE_PEOPLE):
        seen = seen.filter(user=self_of(request))
    token = get_object_or_404(seen, pk=pk)

    def verb() -> str:
        api_tokens.revoke_token(token=token, actor=actor_of(request))
        return f"The token {token} no longer works."

    mine = token.user_id == request.user.pk and "/users/" not in request.headers.get("Referer", "")
    return act(request, verb, reverse("batches:account") if mine else reverse("batches:user", args=[token.user_id]))
