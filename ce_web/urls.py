"""URLs of the whole site."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from batches.pages import errors
from batches.pages.accounts import provider, second_step, sign_in
from batches.pages.installation import style
from batches.pages.metrics import prometheus
from ce_web.mcp.http import view as mcp

admin.autodiscover()
admin.site.site_header = "CE Web"
admin.site.site_title = "CE Web"
admin.site.index_title = "Administration"

urlpatterns = [
    path("sign-in/", sign_in.SignIn.as_view(), name="sign_in"),
    path("sign-in/second-step/", second_step.second_step, name="second_step"),
    path("sign-in/provider/", provider.provider, name="provider"),
    path("sign-in/provider/back/", provider.provider_back, name="provider_back"),
    path("sign-in/<str:uidb64>/<str:token>/", sign_in.by_link, name="sign_in_link"),
    path("confirm/", sign_in.confirm, name="confirm"),
    path("sign-out/", LogoutView.as_view(), name="sign_out"),
    path("theme/", sign_in.choose_theme, name="theme"),
    path("admin/login/", login_not_required(RedirectView.as_view(pattern_name="sign_in", query_string=True))),
    path("admin/", admin.site.urls),
    # Browsers request this on pages without an icon, such as the administration.
    path("favicon.ico", login_not_required(RedirectView.as_view(url=static("favicon.svg"), permanent=True))),
    path("", include([re_path("^mcp/?$", mcp)])),
    path("metrics/prometheus/", include([path("", prometheus.metrics)])),
    path("api/v1/", include("batches.pages.api_v1.urls")),
    path("", include("batches.pages.urls")),
]
if settings.DEBUG:
    urlpatterns.insert(0, path("style/", style.style))

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.broken
