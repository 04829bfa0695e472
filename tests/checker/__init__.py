"""What the tests of the checker share: topics as lists, and bugs to plant."""
