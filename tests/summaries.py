"""Summaries of reports, as tests of the screens change them."""

import dataclasses

from django_memsize.values import (
    Amount,
    CallSite,
    Diff,
    Evaluation,
    Instances,
    NearPeak,
    Summary,
)

ACCOUNT = "bank.models.Account"


def diff(size, name=ACCOUNT, count=3090):
    return Diff({name: count}, {name: size})


def amount(size, types=None):
    return Amount(size // 64, size, diff(size, "str", 2) if types is None else types)


ACCOUNTS = Evaluation(
    model="bank.Account",
    kind="instances",
    rows=3090,
    duration=0.03,
    site=CallSite("bank/views.py", 41, "accounts"),
    diff=diff(3_000_000),
)

METERED_ACCOUNTS = dataclasses.replace(
    ACCOUNTS,
    allocated=amount(20_000_000),
    peak=amount(4_200_000),
    alive=amount(3_000_000),
    retained=amount(120),
)

LOOP = Evaluation(
    model="bank.Branch",
    kind="lazy",
    rows=300,
    duration=0.3,
    times=300,
    site=CallSite("bank/views.py", 24, "accounts", "bank/list.html", 12),
    instances=Instances({"bank.Branch": 300, "bank.City": 290}),
    allocated=amount(3_000_000),
    peak=amount(20_000),
    alive=amount(10_000),
    retained=amount(0),
)

CENSUS = Summary(
    kind="request",
    name="/accounts/",
    method="GET",
    status=200,
    duration=0.05,
    rows=3090,
    net=diff(100, "str", 2),
    evaluations=(ACCOUNTS,),
    rss_before=100 * 1024**2,
    rss_after=103 * 1024**2,
    overhead=0.5,
    engine="python",
    instrument="census",
)

METERED = dataclasses.replace(
    CENSUS,
    instrument="meter",
    engine="compiled",
    net=None,
    evaluations=(METERED_ACCOUNTS,),
    allocated=amount(21_000_000),
    peak=amount(4_300_000),
    alive=amount(3_201_000),
    retained=amount(1000),
    garbage=amount(3_100_000, diff(3_100_000)),
    free_lists=amount(100_000, diff(100_000, "tuple", 100)),
    near_peak=NearPeak(ACCOUNTS.diff, "bank.Account", 3090, ACCOUNTS.site),
)

COUNTED = dataclasses.replace(
    CENSUS,
    instrument="counted",
    engine="",
    net=None,
    evaluations=(dataclasses.replace(ACCOUNTS, diff=None),),
)


def census(**changes):
    return dataclasses.replace(CENSUS, **changes)


def metered(**changes):
    return dataclasses.replace(METERED, **changes)


def counted(**changes):
    return dataclasses.replace(COUNTED, **changes)


def retaining(size, **changes):
    """Return a metered summary that retains so many bytes and leaves no garbage."""
    return metered(**{"retained": amount(size), "garbage": amount(0)} | changes)
