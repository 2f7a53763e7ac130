"""Commands reach the hosts that a project allows, through the network proxy, and nothing else (docs/security.md, Allowed hosts)."""

import socket
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from subagents.allowed_hosts import allowed_host, fault_of_host, is_allowed, plain_host
from subagents.contract import Failure, GateKind, GateSpec, ResultStatus, TaskSpec
from tests.local_server import LocalServer, serving
from tests.subagents.conftest import World, steps, user_git
from tests.subagents.test_sandbox import HERE

LOOPBACK = "127.0.0.0/8"


@pytest.mark.parametrize(
    ("line", "host", "port", "right"),
    [
        ("pypi.org", "pypi.org", 443, True),
        ("pypi.org", "pypi.org", 80, True),
        ("pypi.org", "pypi.org", 8080, False),
        ("pypi.org", "a.pypi.org", 443, False),
        ("pypi.org", "pypi.org.evil.example", 443, False),
        ("pypi.org", "evilpypi.org", 443, False),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", "badexample.org", 443, False),
        ("git.example.org:8443", "git.example.org", 8443, True),
        ("git.example.org:8443", "git.example.org", 443, False),
        ("Bücher.example", "xn--bcher-kva.example", 443, True),
        ("PyPI.org.", "pypi.org", 443, True),
        ("93.184.216.34", "93.184.216.34", 443, True),
        ("[2606:2800::1]:8443", "2606:2800::1", 8443, True),
    ],
)
def test_a_line_covers_its_host_and_ports_and_no_other(line: str, host: str, port: int, right: bool) -> None:
    assert fault_of_host(line) == ""
    assert is_allowed(plain_host(host), port, [allowed_host(line)]) == right


@pytest.mark.parametrize(
    "line",
    ["https://pypi.org", "pypi.org/simple", "*", "*.org", "a.*.org", "pypi.org:0", "pypi.org:70000", "a b", "-a.org", "*.1.2.3", "@x"],
)
def test_a_line_that_is_no_host_is_refused_in_words(line: str) -> None:
    assert len(fault_of_host(line)) > 10


class Answers(BaseHTTPRequestHandler):
    """Says what it was asked for; keeps connections open, as servers do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.command} {self.path} {self.headers['Host'].partition(':')[0]} {self.headers['Proxy-Authorization']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def web(folder: Path, *, secure: bool = False) -> Iterator[int]:
    """A server on loopback, which is called localhost; its port. With `secure` its certificate is folder/cert.pem."""
    server = LocalServer(Answers)
    if secure:
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run([*make, *names, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server.server_port


def said_by(world: World, script: str, level: str, hosts: list[str], **policy: object) -> tuple[list[str], TaskSpec]:
    """What a step wrote to said.txt, in lines, and its spec."""
    limits = {"network": "steps", "hosts": hosts, "private": [LOOPBACK], **policy}
    spec = world.spec(steps=steps(script), sandbox=level, policy=limits)
    result = world.run(spec).result
    assert result is not None and result.status == ResultStatus.SUCCESS, [line["message"] for line in world.log(spec)]
    return user_git(world.project, "show", f"{spec.attempt_ref}:said.txt").split("\n"), spec


COMPANY = """import asyncio, sys
async def serve(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
    method, target = head.split()[:2]
    known = "Proxy-Authorization: Basic bWU6cGFzcw==" in head
    print(method, target, known, flush=True)
    host, _, port = target.removeprefix("http://").partition("/")[0].rpartition(":")
    there, back = await asyncio.open_connection("127.0.0.1", int(port))  # it alone knows where registry.inside is
    if method == "CONNECT":
        writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    else:
        back.write(head.replace(f"http://{host}:{port}", "").replace("Proxy-Authorization: Basic bWU6cGFzcw==\\r\\n", "").encode())
    async def pass_on(one, other):
        while data := await one.read(65536):
            other.write(data)
        other.write_eof()
    await asyncio.gather(pass_on(reader, back), pass_on(there, writer))
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.mark.process
@pytest.mark.usefixtures("another_environment")
@pytest.mark.parametrize("level", HERE)
def test_allowed_hosts_are_reached_through_the_proxy_of_this_machine(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    company = subprocess.Popen([sys.executable, "-c", COMPANY], stdout=subprocess.PIPE, text=True)
    assert company.stdout is not None
    with company, web(tmp_path) as port, web(tmp_path, secure=True) as secure:
        way = f"http://me:pass@127.0.0.1:{company.stdout.readline().strip()}"
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, way)
        (world.project / "cert.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
        user_git(world.project, "add", "cert.pem")
        user_git(world.project, "commit", "-qm", "cert")
        curl = "curl -sS --noproxy '' --max-time 20"
        script = f"""
            {{
            {curl} http://registry.inside:{port}/plain
            {curl} --cacert cert.pem https://localhost:{secure}/tunnel
            {curl} -o /dev/null -w '%{{http_code}}\\n' http://127.0.0.2:{port}/
            {curl} -o /dev/null -w '%{{http_code}}\\n' http://other.inside:{port}/
            }} > said.txt; ! env | grep me:pass
        """
        hosts = [f"registry.inside:{port}", f"localhost:{secure}", f"127.0.0.2:{port}"]
        said, _ = said_by(world, script, level, hosts, private=["127.0.0.1/32", "::1/128"])
        company.terminate()
        asked = company.stdout.read().split("\n")
    assert said == ["GET /plain registry.inside None", "GET /tunnel localhost None", "403", "403"]
    assert asked[:2] == [f"GET http://registry.inside:{port}/plain True", f"CONNECT localhost:{secure} True"] and not any(asked[2:])


@pytest.mark.process
@pytest.mark.parametrize("level", HERE)
def test_a_step_reaches_an_allowed_host_and_each_connection_is_counted_and_logged(world: World, tmp_path: Path, level: str) -> None:
    with web(tmp_path) as port, web(tmp_path) as other, web(tmp_path, secure=True) as secure:
        (world.project / "cert.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
        user_git(world.project, "add", "cert.pem")
        user_git(world.project, "commit", "-qm", "cert")
        curl = "curl -sS --noproxy '' --max-time 20"
        script = f"""
            {{
            {curl} http://localhost:{port}/plain
            {curl} --cacert cert.pem https://localhost:{secure}/tunnel
            {curl} --data-binary hello http://localhost:{port}/post; echo
            {curl} -o /dev/null -w '%{{http_code}}\\n' http://localhost:{other}/
            ({curl} https://localhost:{other}/ 2>&1 || true) | grep -o 'response 403'
            for number in 1 2 3; do {curl} http://localhost:{port}/again; done | sort -u
            }} > said.txt
        """
        said, spec = said_by(world, script, level, [f"localhost:{port}", f"localhost:{secure}"])
    assert said == [
        "GET /plain localhost None",
        "GET /tunnel localhost None",
        "hello",
        "403",
        "response 403",
        "GET /again localhost None",
    ]
    result = world.seen(spec).result
    assert result is not None
    first, *reached = result.connections
    assert (first.host, first.port, first.count, first.refused) == ("localhost", other, 2, "is not among the hosts that the project allows")
    assert {(row.port, row.count) for row in reached} == {(port, 5), (secure, 1)}
    assert all(row.sent and row.received and not row.refused for row in reached)
    lines = [line["message"] for line in world.log(spec) if line["kind"] == "network"]
    assert f"localhost:{other} is not among the hosts that the project allows" in lines and f"connected with localhost:{port}" in lines


# Each would reach the listener on this machine, whose port is not in the list.
AROUND = """
import socket
target = ("127.0.0.1", {port})
def begin(kind, protocol=0):
    made = socket.socket(socket.AF_INET, kind, protocol)
    made.settimeout(2)
    return made
def plainly():
    made = begin(socket.SOCK_STREAM)
    made.connect(target)
    made.sendall(b"inside")
def other_address():
    made = begin(socket.SOCK_STREAM)
    made.connect(("127.0.0.2", {port}))
    made.sendall(b"inside")
ways = [
    plainly,
    other_address,
    lambda: begin(socket.SOCK_STREAM, 262).connect(target),
    lambda: begin(socket.SOCK_STREAM).sendto(b"inside", 0x20000000, target),
    lambda: begin(socket.SOCK_STREAM).sendmsg([b"inside"], [], 0x20000000, target),
    lambda: begin(socket.SOCK_DGRAM).sendto(b"inside", target),
    lambda: socket.create_server(("0.0.0.0", {port} + 1)) and None,
]
for way in ways:
    try:
        way()
    except OSError:
        pass
made = begin(socket.SOCK_STREAM)
try:
    made.connect(("127.0.0.1", 3128))
    made.sendall(b"CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n")
    print(made.recv(100).split(b"\\r\\n")[0].decode())
    made.connect(("127.0.0.1", 0))
except OSError as error:
    pass
"""


@pytest.mark.process
@pytest.mark.parametrize("level", HERE)
def test_nothing_gets_past_the_network_proxy(world: World, tmp_path: Path, level: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        commit = AROUND.format(port=port)
        script = f"cat > around.py <<'END'\n{commit}\nEND\npython around.py > said.txt"
        said, spec = said_by(world, script, level, ["allowed.example"])
        with pytest.raises(TimeoutError):
            listener.accept()
    assert said == ["HTTP/1.1 403 Refused"]
    result = world.seen(spec).result
    assert result is not None and [(row.host, row.port) for row in result.connections] == [("127.0.0.1", port)]


@pytest.mark.process
@pytest.mark.parametrize("level", HERE)
def test_a_name_that_leads_inside_is_refused_after_it_was_resolved(world: World, tmp_path: Path, level: str) -> None:
    with web(tmp_path) as port:
        script = f"curl -s --noproxy '' http://localhost:{port}/ > said.txt"
        said, _ = said_by(world, script, level, [f"localhost:{port}"], private=[])
    assert said[0].startswith(f"CE Web: localhost:{port} leads to 127.0.0.1, which is not in the public network")


@contextmanager
def files_at(folder: Path, address: str) -> Iterator[int]:
    """A server of the files in a folder; its port."""
    server = ThreadingHTTPServer((address, 0), partial(QuietFiles, directory=str(folder)))
    server.daemon_threads = True
    with serving(server):
        yield server.server_port


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.mark.process
@pytest.mark.parametrize("level", HERE)
def test_git_and_pip_find_the_way_by_their_variables(world: World, tmp_path: Path, level: str) -> None:
    served = tmp_path / "served"
    (served / "simple/tiny").mkdir(parents=True)
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(served / "simple/tiny" / name, "w") as wheel:
        wheel.writestr("tiny.py", "NUMBER = 7\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    (served / "simple/tiny/index.html").write_text(f'<a href="{name}">{name}</a>')
    user_git(world.project, "clone", "-q", "--bare", str(world.project), str(served / "project.git"))
    user_git(served / "project.git", "update-server-info")
    address = "127.0.0.2"  # the variables leave out localhost and 127.0.0.1, where a command's own servers are
    with files_at(served, address) as port:
        script = f"""
            git clone -q http://{address}:{port}/project.git cloned 2>&1
            python -m pip -q --disable-pip-version-check --no-cache-dir download --no-deps -d got \\
                --trusted-host {address} --index-url http://{address}:{port}/simple tiny
            ls cloned/src got > said.txt
            rm -rf cloned got
        """
        said, spec = said_by(world, script, level, [f"{address}:{port}"])
    assert said == ["cloned/src:", "app.py", "", "got:", name]
    result = world.seen(spec).result
    assert result is not None
    [row] = result.connections
    assert row.count >= 5 and row.received is not None and row.received > 1000


@pytest.mark.process
@pytest.mark.parametrize("level", HERE)
def test_gates_have_no_network_unless_the_project_gives_it_to_them_and_then_these_hosts_only(
    world: World, tmp_path: Path, level: str
) -> None:
    with web(tmp_path) as port, web(tmp_path) as other:
        reach = "curl -s --noproxy '' -o /dev/null -w '%{http_code}' http://localhost:"
        gates = (GateSpec(1, "Reach", GateKind.COMMAND, f"{reach}{port}; echo; {reach}{other}; true"),)
        limits = {"hosts": [f"localhost:{port}"], "private": [LOOPBACK]}
        said = []
        for network in ("steps", "all"):
            policy = {"network": network, **limits}
            result = world.run(world.spec(steps=steps("echo x > a.txt"), gates=gates, sandbox=level, policy=policy)).result
            assert result is not None
            said.append(set(result.gates[0].output.split()))
    assert said == [{"000"}, {"200", "403"}]


@pytest.mark.process
def test_where_the_network_cannot_be_taken_away_the_attempt_is_refused_in_a_sentence(world: World) -> None:
    spec = world.spec(steps=steps("echo x > a.txt"), sandbox="rlimit", policy={"network": "steps", "hosts": ["pypi.org"]})
    result = world.run(spec).result
    assert result is not None and result.failure_reason == Failure.AGENT_ERROR
    assert "at the sandbox level rlimit the network cannot be taken away" in result.errors[0] and not result.commits
