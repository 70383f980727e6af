"""``manage.py fill_shop``: 50,000 orders and what belongs to them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from shop.models import Category, Customer, Order, Product

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Command(BaseCommand):
    """Fills the shop."""

    def handle(self, *args, **options):
        """Make the rows."""
        get_user_model().objects.create_user("customer")
        Category.objects.bulk_create(Category(name=f"category {n}") for n in range(20))
        Product.objects.bulk_create(
            Product(
                category_id=n % 20 + 1,
                name=f"A product of a shop, number {n}",
                price=Decimal(n % 90) + Decimal("0.99"),
                added_at=BEGAN + timedelta(minutes=n),
            )
            for n in range(4000)
        )
        Customer.objects.bulk_create(Customer(name=f"Customer {n}") for n in range(500))
        Order.objects.bulk_create((_order(n) for n in range(50_000)), batch_size=2000)


def _order(number):
    placed = BEGAN + timedelta(minutes=number)
    return Order(
        customer_id=number * 7 % 500 + 1,
        number=f"2026-{number:08}",
        placed_at=placed,
        paid_at=placed + timedelta(hours=1),
        sent_at=placed + timedelta(days=1),
        total=Decimal(number % 5000) + Decimal("0.50"),
        tax=Decimal(number % 500) + Decimal("0.25"),
        street=f"{number} Long Street of this Town",
        city=f"Town {number % 900}",
        country=f"Country {number % 90}",
        note=f"Order {number}: leave it with the neighbours, please. " * 9,
    )
