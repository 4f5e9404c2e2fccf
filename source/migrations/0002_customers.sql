create table customers (
    customer_id SERIAL primary key,
    full_name VARCHAR(100) not null,
    email VARCHAR(254),
    kyc_notes TEXT,
    created_at TIMESTAMPTZ not null default CURRENT_TIMESTAMP,
    updated_at TIMESTAMPTZ not null default CURRENT_TIMESTAMP
);

-- Nullable: accounts older than the customer register belong to nobody in it.
alter table checking_account add column customer_id INT references customers;

create index on checking_account (customer_id);
