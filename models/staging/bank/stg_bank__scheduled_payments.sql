{{ config(unique_key='payment_id', liquid_clustered_by='payment_id') }}

{{ current_state(ref('base_bank__scheduled_payment_changes'), key='payment_id') }}
