{{ config(unique_key=['payment_id', 'version_number']) }}

{{ history(ref('base_bank__scheduled_payment_changes'), key='payment_id') }}
