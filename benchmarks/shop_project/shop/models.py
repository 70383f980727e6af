"""A shop: customers with orders, and products in categories."""

from django.db import models


class Category(models.Model):
    """What products have in common."""

    name = models.CharField(max_length=50)


class Product(models.Model):
    """What is sold."""

    category = models.ForeignKey(Category, models.CASCADE)
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    added_at = models.DateTimeField()


class Customer(models.Model):
    """Who buys."""

    name = models.CharField(max_length=100)


class Order(models.Model):
    """What was bought. Twelve columns, as orders have."""

    customer = models.ForeignKey(Customer, models.CASCADE)
    number = models.CharField(max_length=20)
    placed_at = models.DateTimeField()
    paid_at = models.DateTimeField()
    sent_at = models.DateTimeField()
    total = models.DecimalField(max_digits=10, decimal_places=2)
    tax = models.DecimalField(max_digits=10, decimal_places=2)
    street = models.CharField(max_length=100)
    city = models.CharField(max_length=100)
    country = models.CharField(max_length=100)
    note = models.CharField(max_length=600)
