"""Two that describe one thing: alike, differently, or as the installer's own."""

from __future__ import annotations

from typing import ClassVar

import pytest
from fakes import Things
from tljh.engine.agreement import Agreement
from tljh.engine.resource import Resource
from tljh.errors import TljhError


class Modest(Things):
    gives_way: ClassVar[bool] = True


def of(name: str, plugin: str = "", *, kind: type[Things] = Things, **wanted: str) -> Things:
    return kind(name, wanted=wanted, origins=dict.fromkeys(wanted, plugin) if plugin else {}, stage="a stage")


def found(*resources: Resource) -> list[Resource]:
    agreement = Agreement()
    for resource in resources:
        agreement.add(resource)
    return list(agreement.found.values())


def refused(*resources: Resource) -> str:
    with pytest.raises(TljhError) as caught:
        found(*resources)
    return str(caught.value)


def test_the_same_from_two_plugins_is_one_of_both() -> None:
    (one,) = found(of("file:/x", "b", mode="0644"), of("file:/x", "a", mode="0644"))
    assert one.origins == {"mode": "a, b"}


def test_different_things_name_both_and_what_differs() -> None:
    words = refused(of("file:/x", "a", mode="0644", owner="root"), of("file:/x", "b", mode="0600", owner="root"))
    assert words == (
        "the plugins a and b want different things: file:/x with mode 0644 and 0600\n"
        "  → leave one of the two out; nothing was changed"
    )


def test_two_kinds_at_one_place() -> None:
    words = refused(of("file:/x", "a", mode="0644"), of("link:/x", "b", target="y"))
    assert words.startswith("the plugins a and b want different things: file:/x and link:/x\n")


@pytest.mark.parametrize("swapped", [False, True])
def test_what_is_the_installers_own(swapped: bool) -> None:
    both = [of("file:/x", mode="0644"), of("file:/x", "a", mode="0644")]
    words = refused(*(reversed(both) if swapped else both))
    assert words.startswith("plugin a: file:/x is the installer's own (stage a stage)\n")


def test_two_stages_of_our_own() -> None:
    assert refused(of("x", a="1"), of("x", a="1")) == "x is described twice, by the stages a stage and a stage"


@pytest.mark.parametrize("swapped", [False, True])
def test_who_really_means_it_counts(swapped: bool) -> None:
    meant = of("directory:/x", "a", mode="0700")
    both = [meant, of("directory:/x", "b", kind=Modest, mode="0755")]
    assert found(*(reversed(both) if swapped else both)) == [meant]


@pytest.mark.parametrize("swapped", [False, True])
def test_who_wants_nothing_gives_way(swapped: bool) -> None:
    meant = of("directory:/x", "a", mode="0700")
    both = [meant, of("directory:/x")]
    assert found(*(reversed(both) if swapped else both)) == [meant]


def test_what_is_at_the_same_place_no_more() -> None:
    gone, link = of("file:/x"), of("link:/x", "a", target="y")
    assert found(gone, link) == [gone, link]
