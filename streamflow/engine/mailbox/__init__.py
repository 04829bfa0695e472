"""Event delivery: one mailbox for each definition and business key owns what arrived, what is kept, and who consumed
what."""
