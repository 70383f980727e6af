from django.db import models
from model_utils.managers import InheritanceManager
from mptt.models import MPTTModel, TreeForeignKey
from polymorphic.models import PolymorphicModel


class Place(models.Model):
    objects = InheritanceManager()


class Cafe(Place):
    pass


class Animal(PolymorphicModel):
    pass


class Dog(Animal):
    pass


class Folder(MPTTModel):
    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")
