"""Who may open /hitl/ws, what it answers, and what each viewer sees: over real sockets, under uvicorn and daphne."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import connect

from reviews.live.frames import CHANNELS, SHAPES
from tests.reviews.live.serving import HERE, Served, environment_for, heard, opened, said
from tests.servers.private import free_port
from tests.worlds import worlds

# A change that no event tells of is noticed at the next look, five seconds apart.
NOTICED = 12
ROLES = ("viewer", "reviewer", "lead", "operator", "admin")
SEES_ALL = ("operator", "admin")


@dataclass(frozen=True)
class Scene:
    served: Served
    rooms: list[str]
    tokens: dict[str, str]

    def call(self, name: str, *arguments: Any) -> Any:
        return self.served.world.call(f"{HERE}:{name}", *arguments)


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    port = free_port()
    with worlds(tmp_path_factory.mktemp("socket")) as make:
        more = {"CORS_ORIGINS": "https://console.example", "WEBSOCKET_ENABLED": "true"}
        world = make("sqlite", **environment_for(request.param, port), **more)
        served = Served(world, request.param, port).start()
        rooms = world.call("tests.immune.events.writer:repositories", 2)
        yield Scene(served, rooms, world.call(f"{HERE}:cast", rooms))


@pytest.fixture
def own_cast(scene: Scene) -> Scene:
    """The scene with tokens of this test's own, for tests that take something away."""
    return Scene(scene.served, scene.rooms, scene.call("recast"))


async def refusal(scene: Scene, **options: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connect(scene.served.url, **options):
            pass
    return refused.value.response.status_code


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


# ── who may open it ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_nobody_opens_it_without_a_credential(scene: Scene) -> None:
    expected = 401 if scene.served.server == "uvicorn" else 403
    assert await refusal(scene) == expected
    assert await refusal(scene, additional_headers=bearer("imm_00000000_wrong")) == expected
    ours = {"origin": f"http://127.0.0.1:{scene.served.port}"}
    assert await refusal(scene, additional_headers={"Cookie": "sessionid=wrong"}, **ours) == expected


async def test_a_token_in_the_address_counts_for_nothing(scene: Scene) -> None:
    with pytest.raises(websockets.InvalidStatus):
        async with connect(f"{scene.served.url}?token={scene.tokens['ana']}&access_token={scene.tokens['ana']}"):
            pass


async def test_a_token_travels_in_the_header_or_as_a_subprotocol(scene: Scene) -> None:
    async with connect(scene.served.url, additional_headers=bearer(scene.tokens["ana"])) as client:
        assert (await heard(client))["type"] == "connection_ack"
    async with connect(scene.served.url, subprotocols=["immune.bearer", scene.tokens["ana"]]) as client:
        ack = await heard(client)
        assert len(ack["client_id"]) == 16
        # The token itself is never echoed as the chosen protocol.
        assert client.subprotocol == "immune.bearer"


async def test_a_session_needs_an_origin_that_is_this_site_or_listed(scene: Scene) -> None:
    cookie = {"Cookie": f"sessionid={await asyncio.to_thread(scene.call, 'signed_in', 'ana')}"}
    for origin in (f"http://127.0.0.1:{scene.served.port}", "https://console.example"):
        async with connect(scene.served.url, additional_headers=cookie, origin=origin) as client:
            assert (await heard(client))["type"] == "connection_ack"
    for origin in ("https://evil.example", "http://127.0.0.1:1", "http://127.0.0.1.evil.example", "null", None):
        assert await refusal(scene, additional_headers=cookie, origin=origin) == 403


async def test_a_foreign_page_does_not_open_it_even_with_a_token(scene: Scene) -> None:
    options = {"additional_headers": bearer(scene.tokens["ana"]), "origin": "https://evil.example"}
    assert await refusal(scene, **options) == 403


async def test_a_host_that_is_not_ours_is_refused(scene: Scene) -> None:
    with pytest.raises(websockets.InvalidStatus):
        async with connect(
            f"ws://evil.example:{scene.served.port}/hitl/ws",
            host="127.0.0.1",
            port=scene.served.port,
            additional_headers=bearer(scene.tokens["ana"]),
        ):
            pass


# ── what it answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_ping_is_answered_with_the_position_up_to_which_all_was_sent(scene: Scene) -> None:
    last = await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 3)
    async with await opened(scene.served, scene.tokens["carla"]) as client:
        await said(client, {"type": "subscribe", "channels": ["apvs"], "since": 0})
        pong = await said(client, {"type": "ping"})
        assert (pong["type"], pong["position"]) == ("pong", last)


async def test_since_replays_from_there_and_follows_without_gap_or_twin(scene: Scene) -> None:
    last = await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 1200)
    async with await opened(scene.served, scene.tokens["ana"]) as client:
        confirmed = await said(client, {"type": "subscribe", "channels": ["apvs"], "since": last - 1100})
        assert confirmed == {"type": "subscription_confirmed", "channels": ["apvs"], "position": last - 1100}
        end = await asyncio.to_thread(scene.call, "happen", scene.rooms[1], 5)
        positions = [(await heard(client))["position"] for _ in range(end - (last - 1100))]
        assert positions == list(range(last - 1099, end + 1))


async def test_without_since_only_what_happens_from_now_on_is_sent(scene: Scene) -> None:
    last = await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 3)
    async with await opened(scene.served, scene.tokens["ana"]) as client:
        await said(client, {"type": "subscribe", "channels": ["apvs"]})
        await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 1)
        frame = await heard(client)
        assert (frame["position"], frame["repository"]) == (last + 1, scene.rooms[0])
        assert frame["timestamp"].endswith("+00:00")


async def test_a_channel_added_later_is_replayed_and_the_first_one_is_not_repeated(scene: Scene) -> None:
    last = await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 4)
    async with await opened(scene.served, scene.tokens["ana"]) as client:
        await said(client, {"type": "subscribe", "channels": ["apvs"], "since": last - 2})
        assert [(await heard(client))["position"] for _ in range(2)] == [last - 1, last]
        await said(client, {"type": "subscribe", "channels": ["apvs", "wargames"], "since": 0})
        pong = await said(client, {"type": "ping"})
        assert (pong["type"], pong["position"]) == ("pong", last)


async def test_an_unsubscribed_channel_is_silent(scene: Scene) -> None:
    async with await opened(scene.served, scene.tokens["ana"]) as client:
        await said(client, {"type": "subscribe", "channels": ["apvs"]})
        answer = await said(client, {"type": "unsubscribe", "channels": ["apvs"]})
        assert answer == {"type": "unsubscription_confirmed", "channels": ["apvs"]}
        await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 2)
        assert (await said(client, {"type": "ping"}))["type"] == "pong"


async def test_a_since_that_cannot_be_replayed_is_answered_with_resync(scene: Scene) -> None:
    last = await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 1)
    async with await opened(scene.served, scene.tokens["ana"]) as client:
        await said(client, {"type": "subscribe", "channels": ["apvs"], "since": last + 1000})
        frame = await heard(client)
        assert (frame["type"], frame["reason"], frame["position"]) == ("resync", "since_in_the_future", last)
        # From there it goes on.
        await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 1)
        assert (await heard(client))["position"] == last + 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "malformed_json"),
        ("[]", "malformed_frame"),
        ('{"type": 7}', "malformed_frame"),
        ('{"type": "shout"}', "unknown_type"),
        ('{"type": "ping", "extra": 1}', "unknown_field"),
        ('{"type": "subscribe"}', "bad_channels"),
        ('{"type": "subscribe", "channels": "apvs"}', "bad_channels"),
        ('{"type": "subscribe", "channels": [{}]}', "bad_channels"),
        ('{"type": "subscribe", "channels": ["secrets"]}', "unknown_channel"),
        ('{"type": "subscribe", "channels": ["apvs", "apvs", "apvs", "apvs", "apvs"]}', "too_many_channels"),
        ('{"type": "subscribe", "channels": ["apvs"], "since": -1}', "bad_since"),
        ('{"type": "subscribe", "channels": ["apvs"], "since": "1"}', "bad_since"),
        ('{"type": "subscribe", "channels": ["apvs"], "since": true}', "bad_since"),
        ('{"type": "subscribe", "channels": ["apvs"], "since": 1e300}', "bad_since"),
        ('{"type": "subscribe", "channels": ["apvs"], "since": 99999999999999999999}', "bad_since"),
        ('{"type": "ping", "padding": "' + "x" * 5000 + '"}', "frame_too_large"),
        ("[" * 4000, "malformed_json"),
    ],
)
async def test_a_bad_frame_is_answered_with_an_error_and_the_socket_lives_on(
    scene: Scene, frame: str, code: str
) -> None:
    async with await opened(scene.served, scene.tokens["carla"]) as client:
        answer = await said(client, frame)
        assert (answer["type"], answer["error_code"]) == ("error", code)
        assert answer["error_message"]
        assert (await said(client, {"type": "ping"}))["type"] == "pong"


async def test_bytes_are_answered_with_an_error(scene: Scene) -> None:
    async with await opened(scene.served, scene.tokens["carla"]) as client:
        await client.send(b"\x00\xff")
        assert (await heard(client))["error_code"] == "not_text"


async def test_a_flood_of_frames_is_answered_with_errors(scene: Scene) -> None:
    async with await opened(scene.served, scene.tokens["carla"]) as client:
        for _ in range(60):
            await client.send('{"type": "ping"}')
        answers = [await heard(client) for _ in range(60)]
        assert {answer["type"] for answer in answers} == {"pong", "error"}
        assert {answer["error_code"] for answer in answers if answer["type"] == "error"} == {"too_many_frames"}


async def test_figures_come_at_once_and_after_something_happened_but_not_each_time(scene: Scene) -> None:
    async with await opened(scene.served, scene.tokens["ana"]) as client:
        await said(client, {"type": "subscribe", "channels": ["stats"]})
        first = await heard(client)
        assert (first["type"], first["channel"]) == ("stats_update", "stats")
        assert set(first["data"]) >= {"pending", "claimed"}
        last = await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 50)
        told = []
        while not told or told[-1]["position"] < last:
            told.append(await heard(client))
        assert len(told) <= 3


# ── what each viewer sees ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_each_viewer_sees_only_the_repositories_in_sight_and_nobody_sees_accounts(scene: Scene) -> None:
    seen: dict[str, list[int]] = {}
    clients = {name: await opened(scene.served, scene.tokens[name]) for name in ("ana", "bruno", "carla")}
    for client in clients.values():
        await said(client, {"type": "subscribe", "channels": ["apvs", "wargames", "decisions"]})
    first = await asyncio.to_thread(scene.call, "happen", scene.rooms[0], 1)
    second = await asyncio.to_thread(scene.call, "happen", scene.rooms[1], 1)
    nowhere = await asyncio.to_thread(scene.call, "happen", None, 1)
    everyone = await asyncio.to_thread(scene.call, "happen", None, 1, "advisories.synced")
    await asyncio.to_thread(scene.call, "recast")
    for name, client in clients.items():
        frames = []
        while not frames or frames[-1]["position"] < everyone:
            frames.append(await heard(client))
        assert (await said(client, {"type": "ping"}))["type"] == "pong"
        seen[name] = [frame["position"] for frame in frames]
        await client.close()
    assert seen == {"ana": [first, second, nowhere, everyone], "bruno": [first, everyone], "carla": [everyone]}


async def test_each_role_sees_of_every_kind_of_event_what_is_in_its_sight_and_nothing_else(scene: Scene) -> None:
    """The matrix of the feed: role × kind of event × place. A kind with a new frame is in it by itself."""
    tokens = await asyncio.to_thread(scene.call, "roles", scene.rooms)
    assert set(tokens) == {*ROLES, *(f"{role} elsewhere" for role in ROLES), "blind"}
    before, last = await asyncio.to_thread(scene.call, "everything_happens", scene.rooms)
    own, foreign = scene.rooms
    for name, token in tokens.items():
        if name == "blind":
            assert await refusal(scene, additional_headers=bearer(token)) in (401, 403)
            continue
        role, _, elsewhere = name.partition(" ")
        theirs = foreign if elsewhere else own
        in_sight = {own, foreign, None} if role in SEES_ALL else {theirs}
        expected = {
            (kind, place)
            for kind, shape in SHAPES.items()
            for place in (own, foreign, None)
            if shape.everyone or place in in_sight
        }
        seen = set()
        async with await opened(scene.served, token) as client:
            await said(client, {"type": "subscribe", "channels": list(CHANNELS), "since": before})
            await client.send('{"type": "ping"}')
            while (frame := await heard(client))["type"] != "pong" or frame["position"] < last:
                if "kind" in frame:
                    assert frame["channel"] == SHAPES[frame["kind"]].channel
                    seen.add((frame["kind"], frame["repository"]))
                elif frame["type"] == "pong":
                    await client.send('{"type": "ping"}')
        assert seen == expected, name


async def test_a_revoked_token_is_turned_out_at_once(own_cast: Scene) -> None:
    async with await opened(own_cast.served, own_cast.tokens["bruno"]) as client:
        await asyncio.to_thread(own_cast.call, "revoke", "bruno")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await heard(client, 4)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


@pytest.mark.parametrize("what", ["deactivated", "expired"])
async def test_who_may_no_longer_look_is_turned_out_even_when_no_event_tells(own_cast: Scene, what: str) -> None:
    async with await opened(own_cast.served, own_cast.tokens["bruno"]) as client:
        await asyncio.to_thread(own_cast.call, "change_quietly", "bruno", what)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await heard(client, NOTICED)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


async def test_who_left_the_team_stops_seeing_its_repositories(own_cast: Scene) -> None:
    async with await opened(own_cast.served, own_cast.tokens["bruno"]) as client:
        await said(client, {"type": "subscribe", "channels": ["apvs"]})
        await asyncio.to_thread(own_cast.call, "happen", own_cast.rooms[0], 1)
        assert (await heard(client))["type"] == "apv_moved"
        await asyncio.to_thread(own_cast.call, "change_quietly", "bruno", "left")
        # Pings tell how far the feed is; once the change was noticed a pong passes a move that was not shown.
        seen, shown = 0, True
        async with asyncio.timeout(NOTICED):
            while shown:
                last = await asyncio.to_thread(own_cast.call, "happen", own_cast.rooms[0], 1)
                shown = False
                while seen < last:
                    frame = await said(client, {"type": "ping"})
                    while frame["type"] == "apv_moved":
                        shown = True
                        frame = await heard(client)
                    seen = frame["position"]
                    await asyncio.sleep(0.1)  # stays below the rate at which frames are refused


async def test_a_new_password_ends_the_sockets_of_other_sessions(own_cast: Scene) -> None:
    key = await asyncio.to_thread(own_cast.call, "signed_in", "bruno")
    options = {
        "additional_headers": {"Cookie": f"sessionid={key}"},
        "origin": f"http://127.0.0.1:{own_cast.served.port}",
    }
    async with connect(own_cast.served.url, **options) as client:
        assert (await heard(client))["type"] == "connection_ack"
        await asyncio.to_thread(own_cast.call, "new_password", "bruno")
        with pytest.raises(websockets.ConnectionClosed):
            await heard(client, 4)
    assert await refusal(own_cast, **options) in (401, 403)
