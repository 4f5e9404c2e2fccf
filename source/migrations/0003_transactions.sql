create table transactions (
    transaction_id BIGSERIAL primary key,
    account_id INT not null references checking_account,
    transaction_type VARCHAR(10) not null check (transaction_type in ('debit', 'credit')),
    amount NUMERIC(12, 2) not null check (amount > 0),
    category VARCHAR(50),
    transaction_date TIMESTAMPTZ not null
);

create index on transactions (account_id, transaction_date);
