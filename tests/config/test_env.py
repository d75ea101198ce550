"""Where settings come from, in which order, and what a wrong one says."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.env import VARIABLES, read

SECRETS = sorted(name for name, variable in VARIABLES.items() if variable.secret)


def test_without_anything_every_setting_has_a_safe_default(tmp_path):
    found = read(tmp_path, {})
    assert (found["DEBUG"], found["HOST"], found["PORT"]) == (False, "127.0.0.1", 8003)
    assert set(found) == set(VARIABLES)


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_may_come_from_a_file(tmp_path, name):
    good = {"DATABASE_URL": "postgres://a:b@c/d", "RABBITMQ_URL": "amqp://a", "REDIS_URL": "redis://a"}.get(
        name, "a-word-of-good-length"
    )
    (tmp_path / "secret").write_text(good + "\n")
    assert read(tmp_path, {f"{name}_FILE": str(tmp_path / "secret")})[name] in (good, [good])


def test_a_secret_file_that_cannot_be_read_stops_the_start(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="GITHUB_TOKEN_FILE"):
        read(tmp_path, {"GITHUB_TOKEN_FILE": str(tmp_path / "nowhere")})


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "abc"), ("PORT", "70000"), ("DEBUG", "perhaps"), ("LOG_LEVEL", "LOUD"), ("DATABASE_URL", "nonsense"),
     ("CORS_ORIGINS", "example.org"), ("PRIORITY_DUE_DAYS", "7,2,30,90"), ("GITHUB_WEBHOOK_SECRETS", "short"),
     ("GITHUB_WEBHOOK_SECRETS", "first-secret-of-three,second-secret-of-three,third-secret-of-three")],
)  # fmt: skip
def test_a_wrong_value_names_the_variable_and_gives_a_hint(tmp_path, name, value):
    with pytest.raises(ImproperlyConfigured) as caught:
        read(tmp_path, {name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert VARIABLES[name].hint in str(caught.value)


def test_a_wrong_secret_is_not_repeated_in_the_complaint(tmp_path):
    with pytest.raises(ImproperlyConfigured) as caught:
        read(tmp_path, {"DATABASE_URL": "hunter2://x"})
    assert "hunter2" not in str(caught.value)


def test_the_environment_stands_before_the_dotenv_file_and_a_secret_file_too(tmp_path):
    (tmp_path / ".env").write_text("PORT=9000\nAPP_NAME=Ours\nGITHUB_TOKEN=old\n")
    (tmp_path / "token").write_text("new")
    found = read(tmp_path, {"PORT": "9001", "GITHUB_TOKEN_FILE": str(tmp_path / "token")})
    assert (found["PORT"], found["APP_NAME"], found["GITHUB_TOKEN"]) == (9001, "Ours", "new")
