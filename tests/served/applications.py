import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

asgi, wsgi = get_asgi_application(), get_wsgi_application()

if "SERVED_PATIENT" in os.environ:
    # Who waits for the reports' database waits longer than any test: as long as it takes.
    from django_memsize.reports import connection

    HOUR = 3600
    connection._TO_LOCK = connection._TO_RUN = HOUR
    connection._OPTIONS["postgresql"] |= {"connect_timeout": HOUR}
    waits = ("connect_timeout", "read_timeout", "write_timeout")
    connection._OPTIONS["mysql"] |= dict.fromkeys(waits, HOUR)
    connection._OPTIONS["sqlite"] |= {"timeout": HOUR}
