import pytest

from immune.formats.npm_spec import resolved_origin, wish
from immune.inventory import Origin


@pytest.mark.parametrize(
    ("wanted", "name", "version", "origin"),
    [
        ("1.2.3", "x", "1.2.3", Origin.REGISTRY),
        ("=1.2.3", "x", "1.2.3", Origin.REGISTRY),
        ("v1.2.3-beta.1+build", "x", "1.2.3-beta.1+build", Origin.REGISTRY),
        ("^1.2.3", "x", None, Origin.REGISTRY),
        ("1.2", "x", None, Origin.REGISTRY),
        ("1.2.x", "x", None, Origin.REGISTRY),
        (">=1.0.0 <2.0.0", "x", None, Origin.REGISTRY),
        ("latest", "x", None, Origin.REGISTRY),
        ("", "x", None, Origin.REGISTRY),
        ("*", "x", None, Origin.REGISTRY),
        ("npm:real@1.2.3", "real", "1.2.3", Origin.REGISTRY),
        ("npm:@scope/real@^1", "@scope/real", None, Origin.REGISTRY),
        ("npm:@scope/real", "@scope/real", None, Origin.REGISTRY),
        ("npm:^1.2", "x", None, Origin.REGISTRY),
        ("npm:1.2.3", "x", "1.2.3", Origin.REGISTRY),
        ("patch:x@npm%3A1.2.3#~/.yarn/patches/x.patch", "x", "1.2.3", Origin.REGISTRY),
        ("patch:x@patch:x@patch:x", "x", None, Origin.REGISTRY),
        ("file:../x", "x", None, Origin.PATH),
        ("link:../x", "x", None, Origin.PATH),
        ("workspace:*", "x", None, Origin.PATH),
        ("./x", "x", None, Origin.PATH),
        ("~/x", "x", None, Origin.PATH),
        ("/x", "x", None, Origin.PATH),
        ("github:user/repo", "x", None, Origin.GIT),
        ("user/repo#branch", "x", None, Origin.GIT),
        ("git+ssh://git@example.org/x.git#v1", "x", None, Origin.GIT),
        ("git@example.org:x.git", "x", None, Origin.GIT),
        ("https://example.org/x.git#v1", "x", None, Origin.GIT),
        ("https://example.org/x.tgz", "x", None, Origin.URL),
    ],
)
def test_a_wish_is_a_version_a_range_another_name_or_another_place(wanted, name, version, origin):
    found = wish("x", wanted)
    assert (found.name, found.version, found.origin) == (name, version, origin)
    assert bool(found.reason) == (version is None)


@pytest.mark.parametrize(
    ("resolved", "origin"),
    [
        ("", Origin.REGISTRY),
        ("https://registry.example/x/-/x-1.0.0.tgz", Origin.REGISTRY),
        ("https://packages.example/download/x/1.0.0/abc", Origin.REGISTRY),
        ("https://example.org/x/archive/main.tar.gz", Origin.URL),
        ("https://[bad", Origin.URL),
        ("git+ssh://git@example.org/x.git#abc", Origin.GIT),
        ("file:x.tgz", Origin.PATH),
    ],
)
def test_a_resolved_address_is_the_registrys_or_not(resolved, origin):
    assert resolved_origin(resolved, "x", "1.0.0") is origin
