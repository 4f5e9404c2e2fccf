{{ decode_changes(source('bronze', 'transactions'), key='transaction_id') }}
