"""Code hosts (GitHub, GitLab, Gitea and Forgejo) by their REST APIs."""
