{{ decode_changes(source('bronze', 'purchase_trends'), key='id') }}
