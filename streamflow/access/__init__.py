"""Access control: users, keys, grants and sessions as records of the topic `access`, and the account of changes in
`audit`."""
