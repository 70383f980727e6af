"""A small bank; most pages load its accounts, each in another way."""

from django.db import models


class Branch(models.Model):
    name = models.CharField(max_length=100)
    city = models.CharField(max_length=100)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "branches"

    def __str__(self):
        return self.name


class Account(models.Model):
    holder = models.CharField(max_length=100)
    branch = models.ForeignKey(
        Branch, on_delete=models.SET_NULL, related_name="accounts", null=True, blank=True
    )
    balance = models.DecimalField(max_digits=12, decimal_places=2)
    birth_date = models.DateField(null=True, blank=True)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    notes = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self):
        return self.holder
