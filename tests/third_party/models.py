import auto_prefetch
from django.db import models
from model_utils.managers import InheritanceManager
from mptt.models import MPTTModel, TreeForeignKey
from polymorphic.models import PolymorphicModel
from treebeard.mp_tree import MP_Node


class Place(models.Model):
    name = models.CharField(max_length=100)
    objects = InheritanceManager()


class Cafe(Place):
    seats = models.IntegerField(default=0)


class Zoo(models.Model):
    name = models.CharField(max_length=100)


class Animal(PolymorphicModel):
    name = models.CharField(max_length=100)
    zoo = models.ForeignKey(Zoo, models.CASCADE, null=True, related_name="animals")


class Dog(Animal):
    tricks = models.IntegerField(default=0)


class Folder(MPTTModel):
    name = models.CharField(max_length=100)
    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")


class Page(MP_Node):
    title = models.CharField(max_length=100)


class Owner(auto_prefetch.Model):
    name = models.CharField(max_length=100)


class Boat(auto_prefetch.Model):
    name = models.CharField(max_length=100)
    owner = auto_prefetch.ForeignKey(Owner, models.CASCADE, related_name="boats")
