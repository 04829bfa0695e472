"""The web application in a real browser, against an API in memory that answers the routes of the real one."""
