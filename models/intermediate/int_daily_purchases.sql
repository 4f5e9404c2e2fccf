{{
    config(
        unique_key=['product', 'purchase_date', 'is_dated', 'first_purchase_id'],
        liquid_clustered_by='first_purchase_id',
    )
}}

{#- A purchase whose day the bank never said is no day's, but its product was sold. -#}
{{
    sums_of_blocks(
        ref('stg_bank__purchases'),
        key='purchase_id',
        size=1000000,
        groups={
            'product': 'product',
            'is_dated': 'purchased_at is not null',
            'purchase_date': "coalesce(to_date(purchased_at), date '1970-01-01')",
        },
        sums={'quantity_sold': 'quantity'},
        count='purchase_count',
    )
}}
