"""Which addresses may be fetched from: the attacks that come in through a text field."""

from ipaddress import ip_address, ip_network

import pytest

from immune.forges.urls import UrlError, UrlPolicy, UrlReason, check_repository_url, is_public, pinned_address

POLICY = UrlPolicy(hosts=frozenset({"git.example.org", "git.example.org:8443"}))


def public(host, port):
    return ["93.184.216.34"]


def answering(*addresses):
    return lambda host, port: list(addresses)


def check(url, policy=POLICY, resolver=public):
    return check_repository_url(url, policy, resolver)


def refused(reason):
    return pytest.raises(UrlError, check=lambda error: error.reason is reason)


@pytest.mark.parametrize(
    ("given", "used", "pin"),
    [
        ("https://git.example.org/a/b.git", "https://git.example.org/a/b.git", "git.example.org:443:93.184.216.34"),
        ("HTTPS://GIT.Example.org./a/b/", "https://git.example.org/a/b", "git.example.org:443:93.184.216.34"),
        ("https://git.example.org:8443/a", "https://git.example.org:8443/a", "git.example.org:8443:93.184.216.34"),
        ("ssh://git@git.example.org/a/b", "ssh://git@git.example.org/a/b", "git.example.org:22:93.184.216.34"),
        ("git@git.example.org:a/b.git", "ssh://git@git.example.org/a/b.git", "git.example.org:22:93.184.216.34"),
    ],
)
def test_a_configured_host_is_accepted_and_pinned(given, used, pin):
    checked = check(given)
    assert checked.url == used
    assert checked.source().resolve == pin
    assert checked.source().protocols == {used.split(":")[0]}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://git.example.org/a", UrlReason.SCHEME),
        ("file:///etc", UrlReason.SCHEME),
        ("ext::sh", UrlReason.SCHEME),
        ("git://git.example.org/a", UrlReason.SCHEME),
        ("/etc/passwd", UrlReason.SCHEME),
        ("../../etc", UrlReason.SCHEME),
        ("-oProxyCommand=touch", UrlReason.SCHEME),
        ("https://user:secret@git.example.org/a", UrlReason.CREDENTIALS),
        ("https://token@git.example.org/a", UrlReason.CREDENTIALS),
        ("ssh://git:secret@git.example.org/a", UrlReason.CREDENTIALS),
        ("https://other.example.org/a", UrlReason.HOST),
        ("https://git.example.org.evil.example/a", UrlReason.HOST),
        ("https://127.0.0.1/a", UrlReason.HOST),
        ("https://2130706433/a", UrlReason.HOST),
        ("https://[::1]/a", UrlReason.MALFORMED),
        ("https://git.example.org:22/a", UrlReason.PORT),
        ("https://git.example.org:99999/a", UrlReason.MALFORMED),
        ("https://git.example.org/a?x=1", UrlReason.MALFORMED),
        ("https://git.example.org/a#x", UrlReason.MALFORMED),
        ("https://git.example.org/a/../../b", UrlReason.MALFORMED),
        ("https://git.example.org/a/%2e%2e/b", UrlReason.MALFORMED),
        ("https://git.example.org/--upload-pack=x", UrlReason.MALFORMED),
        ("https://git.example.org/-x", UrlReason.MALFORMED),
        ("https://git.example.org", UrlReason.MALFORMED),
        ("https://git.example.org/a\nHost: evil", UrlReason.MALFORMED),
        ("https://git.example.org\\@evil.example/a", UrlReason.MALFORMED),
        ("https://gıt.example.org/a", UrlReason.MALFORMED),
        ("ssh://-oProxyCommand=x/a", UrlReason.MALFORMED),
        ("ssh://-l@git.example.org/a", UrlReason.MALFORMED),
        ("https://git.example.org/" + "a" * 3000, UrlReason.MALFORMED),
        ("", UrlReason.SCHEME),
    ],
)
def test_everything_else_is_refused_with_its_reason(url, reason):
    with refused(reason) as caught:
        check(url)
    assert "secret" not in str(caught.value)


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2001:db8::1", "2001:0:7f00:1::", "ff02::1", "::127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_leads_to_this_network_is_refused_alone_and_among_public_ones(address):
    for answer in ([address], ["93.184.216.34", address]):
        with refused(UrlReason.PRIVATE):
            check("https://git.example.org/a", resolver=answering(*answer))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
)
def test_public_addresses_are_public_however_they_are_written(address):
    assert is_public(ip_address(address))


def test_settings_may_allow_a_private_network_and_only_that_one():
    policy = UrlPolicy(hosts=POLICY.hosts, private_networks=(ip_network("10.0.0.0/8"),))
    assert check("https://git.example.org/a", policy, answering("10.1.2.3")).address == "10.1.2.3"
    with refused(UrlReason.PRIVATE):
        check("https://git.example.org/a", policy, answering("127.0.0.1"))


def test_the_name_is_looked_up_once():
    asked = []

    def changing(host, port):
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    assert check("https://git.example.org/a", resolver=changing).source().resolve.endswith(":93.184.216.34")
    assert asked == ["git.example.org"]


def test_an_unknown_name_is_no_address():
    def unknown(host, port):
        raise OSError("no such host")

    for resolver in (unknown, answering()):
        with refused(UrlReason.UNRESOLVED):
            pinned_address("git.example.org", 443, resolver=resolver)


def test_a_token_goes_with_https_only():
    with refused(UrlReason.SCHEME):
        check("ssh://git@git.example.org/a").source(token="s3cret")
    assert check("https://git.example.org/a").source(token="s3cret").token == "s3cret"


def test_an_address_of_the_newer_kind_is_pinned_in_brackets():
    checked = check("https://git.example.org/a", resolver=answering("2606:2800:220:1::1"))
    assert checked.source().resolve == "git.example.org:443:[2606:2800:220:1::1]"
