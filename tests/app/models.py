from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)
    best = models.ForeignKey("Book", models.SET_NULL, null=True, related_name="+")

    def __str__(self):
        return self.name


class Tag(models.Model):
    name = models.CharField(max_length=100)
    content_type = models.ForeignKey(ContentType, models.CASCADE, null=True)
    object_id = models.BigIntegerField(null=True)
    target = GenericForeignKey()

    def __str__(self):
        return self.name


class Book(models.Model):
    title = models.CharField(max_length=100)
    blurb = models.TextField(default="")
    author = models.ForeignKey(Author, models.CASCADE, null=True, related_name="books")
    readers = models.ManyToManyField("Reader", related_name="books")
    tags = GenericRelation(Tag)
    cover = models.FileField(null=True)

    def __str__(self):
        return self.title


class Novel(Book):
    pages = models.IntegerField(default=0)


class Reader(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self):
        return self.name


class Card(models.Model):
    reader = models.OneToOneField(Reader, models.CASCADE, related_name="card")
    number = models.IntegerField(default=0)


class Account(models.Model):
    """As in the note that started it: two datetimes, a date, and nothing else of weight."""

    name = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    born_on = models.DateField(null=True)

    def __str__(self):
        return self.name
