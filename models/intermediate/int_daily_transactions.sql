{{
    config(
        unique_key=['transaction_date', 'category', 'first_transaction_id'],
        liquid_clustered_by='first_transaction_id',
    )
}}

{{
    sums_of_blocks(
        ref('stg_bank__transactions'),
        key='transaction_id',
        size=1000000,
        groups={'transaction_date': 'to_date(transacted_at)', 'category': "coalesce(category, 'uncategorised')"},
        sums={
            'total_debits': "case when transaction_type = 'debit' then amount end",
            'total_credits': "case when transaction_type = 'credit' then amount end",
        },
        count='transaction_count',
    )
}}
