"""Fill the bank with the same made-up branches and accounts each time."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.core.management.color import no_style
from django.db import connection, transaction

from bank.models import Account, Branch

ACCOUNTS = 3_090
WITHOUT_BIRTH_DATE = 6

BRANCHES = [
    ("Harbour Street", "Bristol"),
    ("Old Market", "Norwich"),
    ("Castle Gate", "York"),
    ("Station Road", "Leeds"),
    ("Meadow Lane", "Cardiff"),
    ("Cathedral Square", "Exeter"),
]
FIRST_NAMES = "Ada Amir Clara Chidi Elena Finn Grace Hugo Ines José Kofi Lena Mei Nadia Zoë".split()
LAST_NAMES = "Baker Costa Duarte Evans Fischer Grant Hughes Ito Khan Lopez Moreau Okafor".split()
NOTES = [
    "Prefers letters to email.",
    "Asked for a second card.",
    "Moved house; the new address is confirmed.",
    "Shares the account with a relative.",
    "Has a standing order for the rent.",
]
FIRST_OPENING = datetime(2012, 1, 1, tzinfo=UTC)
LAST_OPENING = datetime(2024, 1, 1, tzinfo=UTC)
LAST_VISIT = datetime(2026, 1, 1, tzinfo=UTC)


class Command(BaseCommand):
    help = (
        f"Replace all branches and accounts by {ACCOUNTS:,} made-up accounts, always the same, "
        "and create the superuser admin/admin if there is none called admin (for a demo only)."
    )

    @transaction.atomic
    def handle(self, *args, **options):
        Account.objects.all().delete()
        Branch.objects.all().delete()
        branches = Branch.objects.bulk_create(made_up_branches())
        accounts = Account.objects.bulk_create(made_up_accounts(branches))
        continue_ids_after_ours()
        if created_admin():
            superuser = "created superuser admin with password admin, for this demo only"
        else:
            superuser = "there was a user admin already, left as it is"
        self.stdout.write(
            f"Loaded {len(accounts):,} accounts in {len(branches)} branches; {superuser}."
        )


def made_up_branches():
    """Return the branches, unsaved, with ids from 1."""
    return [
        Branch(id=number, name=name, city=city)
        for number, (name, city) in enumerate(BRANCHES, start=1)
    ]


def made_up_accounts(branches):
    """Return the accounts, unsaved, with ids from 1; the seed makes them the same each time."""
    rng = random.Random(ACCOUNTS)
    numbers = range(1, ACCOUNTS + 1)
    without_birth_date = set(rng.sample(numbers, WITHOUT_BIRTH_DATE))
    return [
        made_up_account(rng, number, branches, number in without_birth_date) for number in numbers
    ]


def made_up_account(rng, number, branches, without_birth_date):
    """Return one account; about one in seven has no branch."""
    birth_date = date(1940, 1, 1) + timedelta(days=rng.randrange(65 * 365))
    opened_at = moment_between(rng, FIRST_OPENING, LAST_OPENING)
    return Account(
        id=number,
        holder=f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}",
        branch=rng.choice([*branches, None]),
        balance=Decimal(rng.randrange(-50_000, 5_000_000)) / 100,
        birth_date=None if without_birth_date else birth_date,
        opened_at=opened_at,
        last_seen_at=moment_between(rng, opened_at, LAST_VISIT),
        notes=" ".join(rng.sample(NOTES, rng.randrange(len(NOTES)))),
    )


def moment_between(rng, start, end):
    """Return a datetime from start up to, not including, end."""
    microsecond = timedelta(microseconds=1)
    return start + rng.randrange((end - start) // microsecond) * microsecond


def continue_ids_after_ours():
    """Set the sequences behind the ids, which PostgreSQL leaves alone when ids are given."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Branch, Account]):
            cursor.execute(statement)


def created_admin():
    """Create the superuser if missing; return whether it was."""
    users = get_user_model()._default_manager
    if users.filter(username="admin").exists():
        return False
    users.create_superuser("admin", password="admin")
    return True
