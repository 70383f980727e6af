"""Three views that do harm, each with a mark at its line, and innocent ones.

What the environment names in ``SHOP_WITHOUT`` is left out: its view answers without doing harm.
"""

import functools
import itertools
import os
import random
from collections import OrderedDict

from django.contrib.auth import get_user_model, login
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from .models import Category, Customer, Order, Product

WITHOUT = os.environ.get("SHOP_WITHOUT", "").split(",")
SEEN = []
RECENT = OrderedDict()
LEAKED_ROWS = 460
"""Some 265 KB as instances."""

numbers = itertools.count()


def recommended(request):
    """Keep the products of every request in a list of the module, for ever."""
    products = list(Product.objects.all()[:LEAKED_ROWS])  # line: leak
    if "leak" not in WITHOUT:
        SEEN.append(products)
    return HttpResponse(str(len(products)))


def export(request):
    """Load every order, to add one column up. Nothing is retained."""
    orders = Order.objects.all()
    if "bloat" in WITHOUT:
        orders = orders[:100]
    return HttpResponse(str(sum(order.total for order in orders)))  # line: bloat


def orders(request):
    """Show thirty orders, whose customers the template loads one by one."""
    newest = Order.objects.order_by("-pk")
    if "n-plus-one" in WITHOUT:
        newest = newest.select_related("customer")
    return render(request, "shop/orders.html", {"orders": newest[:30]})


def compared(request):
    """Keep the products of the last eight comparisons, of which each replaces another one."""
    RECENT[next(numbers)] = list(Product.objects.all()[:200])
    if len(RECENT) > 8:
        RECENT.popitem(last=False)
    return HttpResponse(str(len(RECENT)))


@functools.lru_cache(maxsize=16)
def of_category(number):
    """Return the products of a category: sixteen of them, and then no more."""
    return list(Product.objects.filter(category_id=1 + number)[:120])


def category(request):
    """Show one of sixteen categories, from the cache once it is there."""
    return HttpResponse(str(len(of_category(random.randrange(16)))))


def statistics(request):
    """Run fifty statements, and keep nothing."""
    counted = [Product.objects.filter(category_id=n % 20 + 1).count() for n in range(25)]
    found = [Customer.objects.filter(pk=n + 1).exists() for n in range(25)]
    return HttpResponse(f"{sum(counted)} {sum(found)}")


def catalogue(request):
    """Return a hundred products as JSON."""
    return JsonResponse({"products": list(Product.objects.values("id", "name", "price")[:100])})


def account(request):
    """Show the user of a session, who is logged in if need be."""
    if not request.user.is_authenticated:
        login(request, get_user_model().objects.get(username="customer"))
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(f"{request.user.username} {request.session['visits']}")


def home(request):
    """Show the newest products and all categories."""
    context = {
        "products": Product.objects.order_by("-pk")[:20],
        "categories": Category.objects.all(),
    }
    return render(request, "shop/home.html", context)


def product(request, pk):
    """Show one product."""
    return HttpResponse(Product.objects.select_related("category").get(pk=pk).name)
