create table scheduled_payments (
    payment_id BIGSERIAL primary key,
    account_id INT not null,
    payee VARCHAR(100) not null,
    amount NUMERIC(12, 2) not null check (amount > 0),
    frequency VARCHAR(10) not null check (frequency in ('one_off', 'weekly', 'monthly')),
    status VARCHAR(10) not null default 'scheduled'
    check (status in ('scheduled', 'executed', 'failed', 'cancelled')),
    due_date DATE not null,
    -- The debit an executed payment made; no foreign key, so that a mistaken debit can be removed and the
    -- payment still says which one it was.
    transaction_id BIGINT,
    updated_at TIMESTAMPTZ not null default CURRENT_TIMESTAMP
);

create index on scheduled_payments (account_id);

-- The daily payment run asks only for what is still to be paid.
create index on scheduled_payments (due_date) where status = 'scheduled';
