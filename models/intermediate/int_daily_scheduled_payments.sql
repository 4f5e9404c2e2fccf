{{
    config(
        unique_key=['due_date', 'status', 'first_payment_id'],
        liquid_clustered_by='first_payment_id',
    )
}}

{{
    sums_of_blocks(
        ref('stg_bank__scheduled_payments'),
        key='payment_id',
        size=1000000,
        groups={'due_date': 'due_date', 'status': 'status'},
        sums={'total_amount': 'amount'},
        count='payment_count',
    )
}}
