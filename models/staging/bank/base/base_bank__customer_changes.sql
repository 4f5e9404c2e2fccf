{{ decode_changes(source('bronze', 'customers'), key='customer_id') }}
