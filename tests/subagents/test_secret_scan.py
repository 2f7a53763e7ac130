"""Keys and passwords in what the commits of a phase add: named with file and line, never shown."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subagents.contract import Failure, GateKind, GateOrigin, GateSpec, LookKind, TaskResult
from subagents.redaction import redact
from subagents.secret_scan import AddedLine, added_lines, secrets_in
from tests.subagents.conftest import World, commit_files, steps

GATE = GateSpec(5, "No keys", GateKind.SECRETS, origin=GateOrigin.STANDARD)
# In pieces, so that no scanner of this repository takes them for real.
TOKENS = {
    "an Anthropic key": "sk-ant-" + "api03-Xq7_Lm2-Zt9Rw4Kd8Vb3Nc6Hj1Fp5Gs0QyAe",
    "an OpenAI key": "sk-" + "proj-T3Blbk4JabUdeIghi5klO7mn",
    "a GitHub token": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "a GitLab token": "glpat-" + "x1y2z3A4B5C6D7E8F9g0",
    "an AWS key id": "AKIA" + "IOSFODNN7RAMPL2Q",
    "a Google API key": "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "a Slack token": "xoxb-" + "263594206564-FGqddMF8t08v8N7Oq4i57vs1",
    "a Stripe key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "an npm token": "npm_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789",
    "a Hugging Face token": "hf_" + "aKcdqfghijKLMNOPQRSTuvwxyz01234567",
    "a JSON web token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "a password in an address": "postgres://admin:" + "Xk29fLq81z@db.internal/app",
    "a password or key": 'password = "' + 'hunter2-Winter-77"',
}
KEY = TOKENS["an Anthropic key"]
WITHOUT_A_SHAPE = ("a password in an address", "a password or key")  # known by what stands around them


def found(*texts: str, path: str = "src/app.py") -> list[str]:
    return [one.what for one in secrets_in([AddedLine("c" * 40, path, number, text) for number, text in enumerate(texts, start=1)])]


@pytest.mark.parametrize("what", TOKENS)
def test_what_opens_something_is_found(what: str) -> None:
    assert found(f"x = '{TOKENS[what]}'" if '"' not in TOKENS[what] else TOKENS[what]) == [what]


@pytest.mark.parametrize("what", [what for what in TOKENS if what not in WITHOUT_A_SHAPE])
def test_what_the_gate_names_by_its_shape_is_masked_in_all_that_is_stored(what: str) -> None:
    assert redact(f"+ key = '{TOKENS[what]}' # done") == "+ key = '[secret]' # done"


def test_only_the_secret_beside_a_name_is_masked() -> None:
    assert redact("AWS_SECRET_ACCESS_KEY=" + "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzq1w2e3r4t") == "AWS_SECRET_ACCESS_KEY=[secret]"


@pytest.mark.parametrize(
    "text",
    [
        'password = os.environ["PASSWORD"]',
        'PASSWORD = "a long password"',
        'token: "${{ secrets.DEPLOY_TOKEN_2 }}"',
        'api_key = "your-api-key-123456"',
        "postgres://postgres:postgres@localhost/test",
        "https://user:p4ssw0rd12@localhost:8000/",
        "https://user:$TOKEN1234@host/x",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "sk-" + "x" * 48,
        "task-sk-learn",
        "-----BEGIN " + "PRIVATE KEY-----",  # named, without a key
        "integrity sha512-" + "Xq7Lm2Zt9Rw4Kd8Vb3Nc6Hj1Fp5Gs0QyAe" * 2 + "==",
    ],
)
def test_names_examples_and_placeholders_are_no_secrets(text: str) -> None:
    assert found(text) == []


def test_a_private_key_is_a_header_with_a_body() -> None:
    header = "-----BEGIN RSA " + "PRIVATE KEY-----"
    assert found(header, "MIIEpAIBAAKCAQEAq9ZxMIIEpAIBAAKCAQEAq9ZxMIIEpAIB") == ["a private key"]
    assert found(header + "\\nMIIEpAIBAAKCAQEAq9ZxMIIEpAIBAAKCAQEAq9ZxMIIEpAIB\\n") == ["a private key"]


def test_tests_and_documents_may_hold_passwords_but_no_tokens() -> None:
    for path in ("tests/test_app.py", "README.md"):
        assert found(TOKENS["a password or key"], path=path) == []
        assert found(KEY, path=path) == ["an Anthropic key"]


def test_what_a_commit_adds_is_never_read_as_words_of_git() -> None:
    head = "commit " + "a" * 40 + "\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -0,0 +4,3 @@\n"
    log = head + "+commit " + "b" * 40 + "\n+++ b/y\n+@@ -1 +1 @@\n"
    assert [(line.commit[0], line.path, line.number, line.text[:7]) for line in added_lines(log)] == [
        ("a", "x", 4, "commit "),
        ("a", "x", 5, "++ b/y"),
        ("a", "x", 6, "@@ -1 +"),
    ]


@given(st.lists(st.sampled_from(["commit x", "+++ b/a", "@@ -1,2 +3,4 @@", "@@ -1 +1 @@", "+a", "-b", "\0", "", KEY, "+" + KEY])))
def test_any_text_can_be_read_as_a_log(lines: list[str]) -> None:
    for one in secrets_in(list(added_lines("\n".join(lines)))):
        assert one.line >= 0


# By the gate of a phase


def ended(world: World, *commands: str) -> TaskResult:
    spec = world.spec(steps=steps(*commands), gates=(GATE,))
    result = world.run(spec).result
    assert result is not None
    kept = [path.read_bytes() for path in Path(spec.attempt_dir).rglob("*") if path.is_file() and "bin" not in path.parts]
    told = [json.dumps(result.to_json()).encode(), Path(spec.files.log).read_bytes()]
    assert not any(KEY.encode() in data for data in told) and kept
    return result


@pytest.mark.process
def test_a_key_in_a_file_fails_the_gate_which_names_file_and_line_and_never_the_key(world: World) -> None:
    result = ended(world, f"printf 'a = 1\\nkey = \"{KEY}\"\\n' > app.py")
    assert result.failure_reason == Failure.GATE_FAILED
    [gate] = result.gates
    assert gate.output.startswith("app.py:2: looks like an Anthropic key (commit ") and "pragma: allowlist secret" in gate.note


@pytest.mark.process
@pytest.mark.parametrize(
    "commands",
    [
        (f"echo {KEY} > .env", "rm .env; echo 1 > a.txt"),  # in the history all the same
        (f"echo '* -diff binary' > .gitattributes; echo {KEY} > a.txt",),
        (f"printf '\\0\\1 {KEY}' > a.bin",),
        (f"echo {KEY} | iconv -t UTF-16LE > a.txt",),
        (f"mkdir -p tests; echo {KEY} > tests/test_a.py",),
    ],
    ids=["taken out by a later step", "hidden by an attribute", "binary", "UTF-16", "in a test"],
)
def test_a_key_is_found_however_it_came_in(world: World, commands: tuple[str, ...]) -> None:
    result = ended(world, *commands)
    assert result.failure_reason == Failure.GATE_FAILED and "an Anthropic key" in result.gates[0].output


@pytest.mark.process
def test_a_line_that_says_that_it_is_none_passes_and_a_person_is_asked_to_look(world: World) -> None:
    result = ended(world, f"echo 'key = \"{KEY}\"  # pragma: allowlist secret' > app.py")
    assert result.failure_reason == "", result.errors
    [look] = result.looks
    assert (look.kind, look.path, look.declared) == (LookKind.SECRET, "app.py", False)
    assert "app.py:1 looks like an Anthropic key" in look.text


@pytest.mark.process
def test_what_was_there_before_the_phase_or_is_taken_out_is_no_matter_of_it(world: World) -> None:
    commit_files(world.project, {"old.py": f"key = '{KEY}'\nx = 1\n"})
    assert ended(world, "sed -i 's/x = 1/x = 2/' old.py").failure_reason == ""
    assert ended(world, "rm old.py; echo 1 > a.txt").failure_reason == ""
