"""Tasks of the tests' project, for a worker of Celery.

python -m celery --app tests.served.tasks worker
"""

import os

import django
from celery import Celery

django.setup()

import django_memsize as memsize  # noqa: E402 - needs the settings
from tests.app.models import Account  # noqa: E402

app = Celery("served", broker=os.environ["SERVED_BROKER"])
app.conf.broker_transport_options = {"global_keyprefix": os.environ["SERVED_PREFIX"]}


@app.task(name="work")
def work(marks):
    """Load rows in a measured block, and leave a mark that it is done."""
    with memsize.measure("work", save=True):
        list(Account.objects.all())
    with open(marks, "ab", buffering=0) as file:
        file.write(b".")
