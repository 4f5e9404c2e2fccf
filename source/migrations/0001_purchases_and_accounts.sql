-- If not exists: a bank that was loaded by hand with these two tables is taken over as it is.
create table if not exists purchase_trends (
    id SERIAL primary key,
    product VARCHAR(100) not null,
    quantity INT not null,
    purchase_date TIMESTAMP default CURRENT_TIMESTAMP
);

create table if not exists checking_account (
    account_id SERIAL primary key,
    account_holder_name VARCHAR(100) not null,
    account_balance NUMERIC(10, 2) not null,
    last_transaction_date TIMESTAMP default CURRENT_TIMESTAMP
);
