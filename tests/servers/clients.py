"""Requests that a server is to answer whatever the database of the reports does."""

MANY = 40


def served(server, number=MANY, url="/read/"):
    """Send requests, several at once, once the server is up; each has to be answered."""
    server.get("/up/")
    assert {answer.status for answer in server.ask([url] * number)} == {200}
