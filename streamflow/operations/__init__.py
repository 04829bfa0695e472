"""Operations: what task workers do outside, each at least once under a stable idempotency key (law effects-outside)."""
