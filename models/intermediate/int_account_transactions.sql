{{ config(unique_key=['account_id', 'first_transaction_id'], liquid_clustered_by='first_transaction_id') }}

{#- A block is tens of times as large as there are accounts, or it has about as many rows as transactions. -#}
{{
    sums_of_blocks(
        ref('stg_bank__transactions'),
        key='transaction_id',
        size=1000000,
        groups={'account_id': 'account_id'},
        sums={
            'total_debits': "case when transaction_type = 'debit' then amount end",
            'total_credits': "case when transaction_type = 'credit' then amount end",
        },
        count='transaction_count',
    )
}}
