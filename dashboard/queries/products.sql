-- All products, what sold most first, to choose from.
select product
from popular_products
order by total_quantity_sold desc, product
