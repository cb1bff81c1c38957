"""Who is let in by the web configuration file: passwords, tokens, certificates, a proxy."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import trustme

from agent.errors import EnvironmentFault
from agent.export.agent_state import AgentState
from agent.export.web.access import Access
from agent.export.web.server import serving
from agent.export.web.web_config import load_web_config
from tests.export.invented import NOW_MS, company_state
from tests.export.web.test_private import PRIVACY
from tests.export.web.test_private import state as private_state


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


USERS = f"""
basic_auth_users:
  alice: {hashed("wonderland")}
  boss: {hashed("everything")}
operators: [boss]
"""
TOKENS = """
bearer_tokens:
  prometheus: {file: prometheus.token}
"""
PROXY = """
trusted_proxy:
  addresses: [ADDRESSES]
  user_header: X-Forwarded-User
operators: [boss]
"""
CLOSED = ("/", "/api/v1/board", "/api/v1/alerts", "/api/v1/rules", "/metrics", "/private/me",
          "/api/v1/private/me", "/no/such/page", "/private/x/y", "/x/private/x")  # fmt: skip


@asynccontextmanager
async def agent(
    folder: Path, text: str, state: AgentState | None = None, access: Access | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    file = folder / "web.yaml"
    file.write_text(text)
    state = state or company_state()
    config = load_web_config(file)
    async with (
        serving(state, "127.0.0.1", 0, lambda: NOW_MS, access=access, config=config) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


def basic(user: str, password: str) -> Mapping[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


async def test_without_credentials_nothing_is_read_but_what_is_open(tmp_path: Path) -> None:
    async with agent(tmp_path, USERS) as session:
        for path in CLOSED:
            answer = await session.get(path)
            assert answer.status == 401, path
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="kpi-agent"'
        assert (await session.get("/-/healthy")).status == 200
        assert (await session.get("/-/ready")).status in (200, 503)
        assert (await session.get("/static/board.css")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        basic("alice", "wrong"),
        basic("nobody", "wonderland"),
        basic("alice", ""),
        {"Authorization": "Basic not-base64"},
        {"Authorization": "Basic YWxpY2U="},  # no colon
        {"Authorization": "Basic é"},
        {"Authorization": "Bearer wonderland"},
        {"Authorization": "Negotiate abc"},
        {"X-Forwarded-User": "alice"},
    ],
    ids=lambda headers: next(iter(headers.values())),
)
async def test_wrong_credentials_let_nobody_in(tmp_path: Path, headers: Mapping[str, str]) -> None:
    async with agent(tmp_path, USERS) as session:
        assert (await session.get("/api/v1/board", headers=headers)).status == 401


async def test_users_look_and_operators_reload(tmp_path: Path) -> None:
    state = company_state()
    state.rules.reloads = [(True, "done")]
    async with agent(tmp_path, USERS, state) as session:
        alice, boss = basic("alice", "wonderland"), basic("boss", "everything")
        assert (await session.get("/metrics", headers=alice)).status == 200
        refused = await session.post("/-/reload", headers=alice)
        assert refused.status == 403
        assert "alice is not among the operators" in await refused.text()
        assert (await session.post("/-/reload", headers=boss)).status == 200
        foreign = await session.post("/-/reload", headers={**boss, "Origin": "http://evil.com"})
        assert foreign.status == 403


async def test_the_metrics_may_be_left_open(tmp_path: Path) -> None:
    async with agent(tmp_path, USERS + "open_paths: [/metrics]\n") as session:
        assert (await session.get("/metrics")).status == 200
        assert (await session.get("/-/ready")).status == 401


async def test_a_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "prometheus.token"
    file.write_text("first-token\n")
    first, second = ({"Authorization": f"Bearer {n}-token"} for n in ("first", "second"))
    async with agent(tmp_path, TOKENS) as session:
        assert (await session.get("/metrics", headers=first)).status == 200
        assert (await session.get("/metrics", headers=second)).status == 401
        assert (await session.get("/metrics")).headers["WWW-Authenticate"] == "Bearer"
        file.write_text("second-token\n")
        assert (await session.get("/metrics", headers=first)).status == 401
        assert (await session.get("/metrics", headers=second)).status == 200
        for empty in ("", None):  # an empty token is none
            file.unlink() if empty is None else file.write_text(empty)
            for header in (second, {"Authorization": "Bearer "}):
                assert (await session.get("/metrics", headers=header)).status == 401


async def test_a_proxys_header_is_believed_from_its_address_only(tmp_path: Path) -> None:
    header = {"X-Forwarded-User": "boss"}
    async with agent(tmp_path, PROXY.replace("ADDRESSES", "127.0.0.0/8, '::1'")) as session:
        assert (await session.get("/api/v1/board", headers=header)).status == 200
        assert (await session.get("/api/v1/board")).status == 401
    async with agent(tmp_path, PROXY.replace("ADDRESSES", "10.0.0.7")) as session:
        spoofed = header | {"X-Forwarded-For": "10.0.0.7", "Forwarded": "for=10.0.0.7"}
        assert (await session.get("/api/v1/board", headers=spoofed)).status == 401


async def test_credentials_that_come_twice_let_nobody_in(tmp_path: Path) -> None:
    proxy = PROXY.replace("ADDRESSES", "127.0.0.1")
    (tmp_path / "prometheus.token").write_text("right")
    async with agent(tmp_path, TOKENS + proxy) as session:
        for name, valid, other in (
            ("X-Forwarded-User", "boss", "alice"),
            ("Authorization", "Bearer right", "Bearer wrong"),
        ):
            once, again = (name, valid), (name, other)
            assert (await session.get("/api/v1/board", headers=[once])).status == 200
            for twice in ([once, again], [again, once], [once, once]):
                assert (await session.get("/api/v1/board", headers=twice)).status == 401, twice


async def test_private_pages_open_for_whom_the_identity_names(tmp_path: Path) -> None:
    proxy = PROXY.replace("ADDRESSES", "127.0.0.1")
    async with agent(tmp_path, proxy, private_state()) as session:

        async def own(name: str) -> aiohttp.ClientResponse:
            return await session.get("/api/v1/private/me", headers={"X-Forwarded-User": name})

        anna = await (await own("anna")).json()
        assert anna["who"]["name"] == "anna"
        assert [kpi["name"] for kpi in anna["kpis"]] == ["tasks", "calls", "notes"]
        assert {row["series"] for kpi in anna["kpis"] for row in kpi["rows"]} == {
            "north · anna",
            "south · anna",
            "anna",
        }
        assert (await (await own("people-lead")).json())["who"] == {"owner": "people-lead"}
        assert (await own("__other__")).status == 404
        assert (await own("carla")).status == 404
        page = await session.get("/private/me", headers={"X-Forwarded-User": "anna"})
        assert page.headers["Cache-Control"] == "no-store"
        assert "berta" not in await page.text()
        # A link needs nobody to be logged in.
        link = await session.get(f"/private/{PRIVACY.owner_tokens('people-lead')[0]}")
        assert link.status == 200


async def test_a_flood_of_wrong_passwords_leaves_probes_and_known_users_untouched(
    tmp_path: Path,
) -> None:
    slow = USERS.replace("operators", f"  slow: {bcrypt.hashpw(b'x', bcrypt.gensalt(12)).decode()}\noperators")  # fmt: skip  # noqa: E501
    async with agent(tmp_path, slow) as session:
        alice = basic("alice", "wonderland")
        assert (await session.get("/metrics", headers=alice)).status == 200
        flood = [
            asyncio.create_task(session.get("/metrics", headers=basic("slow", str(n))))
            for n in range(60)
        ]
        await asyncio.sleep(0.1)
        started = time.monotonic()
        assert (await session.get("/-/healthy")).status == 200
        assert (await session.get("/metrics", headers=alice)).status == 200
        waited = time.monotonic() - started
        answers = [answer.status for answer in await asyncio.gather(*flood)]
        took = time.monotonic() - started
        assert set(answers) == {401, 429}
        assert waited < took  # not behind the flood


# ---- TLS


def certificates(folder: Path, authority: trustme.CA, name: str = "localhost") -> None:
    server = authority.issue_cert(name)
    (folder / "tls.key").write_bytes(server.private_key_pem.bytes())
    (folder / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in server.cert_chain_pems))
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


TLS = "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n"
MUTUAL = """
tls_server_config:
  cert_file: tls.crt
  key_file: tls.key
  client_ca_file: ca.crt
  client_auth_type: VerifyClientCertIfGiven
  min_version: TLS13
operators: [ops]
"""


@asynccontextmanager
async def secure(folder: Path, text: str) -> AsyncIterator[int]:
    (folder / "web.yaml").write_text(text)
    config = load_web_config(folder / "web.yaml")
    async with serving(company_state(), "127.0.0.1", 0, lambda: NOW_MS, config=config) as port:
        yield port


async def status(port: int, path: str, context: ssl.SSLContext) -> int:
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        answer = await session.get(f"https://localhost:{port}{path}")
        return answer.status


async def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    certificates(tmp_path, old)
    async with secure(tmp_path, TLS) as port:
        assert await status(port, "/metrics", trusting(old)) == 200
        (tmp_path / "tls.crt").write_text("half of a cert")  # as it is being written
        assert await status(port, "/metrics", trusting(old)) == 200
        certificates(tmp_path, new)
        assert await status(port, "/metrics", trusting(new)) == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(port, "/metrics", trusting(old))


async def test_a_client_certificate_says_who_it_is(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificates(tmp_path, authority)
    known, foreign, none = (trusting(authority) for _ in range(3))
    authority.issue_cert("ops.example.org", common_name="ops").configure_cert(known)
    trustme.CA().issue_cert("ops.example.org", common_name="ops").configure_cert(foreign)
    async with secure(tmp_path, MUTUAL) as port:
        assert await status(port, "/api/v1/board", known) == 200
        assert await status(port, "/api/v1/board", none) == 401
        with pytest.raises(aiohttp.ClientError):
            await status(port, "/api/v1/board", foreign)


# ---- the file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("basic_auth_users: {alice: wonderland}", "basic_auth_users.alice: is no bcrypt hash"),
        ("basic_auth_user: {}", "basic_auth_user: unknown; a web configuration file has"),
        ("open_paths: [/api/v1/board]", "open_paths.0: Input should be '/metrics'"),
        ("trusted_proxy: {addresses: []}", "trusted_proxy.addresses: List should have at least 1"),
        ("trusted_proxy: {addresses: [proxy.local]}", "does not appear to be an IPv4 or IPv6"),
        ("tls_server_config: {cert_file: a}", "tls_server_config.key_file: Field required"),
        (
            "tls_server_config: {cert_file: a, key_file: b, "
            "client_auth_type: RequireAndVerifyClientCert}",
            "needs client_ca_file",
        ),
        ("basic_auth_users: {alice: 'top secret", "not valid: "),
        ("basic_auth_users: {alice: 'top secret", "(line 1, column 38)"),
        ("- a list", "Input should be a valid dictionary"),
    ],
)
def test_a_wrong_file_says_what_is_wrong_and_no_secret(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(text)
    with pytest.raises(EnvironmentFault) as caught:
        load_web_config(file)
    assert says in str(caught.value)
    assert "wonderland" not in str(caught.value)
    assert "top secret" not in str(caught.value)


async def test_a_key_of_another_certificate_is_refused_at_the_start(tmp_path: Path) -> None:
    certificates(tmp_path, trustme.CA())
    (tmp_path / "tls.key").write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())
    with pytest.raises(EnvironmentFault, match="can't be used"):
        async with secure(tmp_path, TLS):
            pass
