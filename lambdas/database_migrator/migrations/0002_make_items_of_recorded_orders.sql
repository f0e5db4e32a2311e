-- A recorded order makes its own item, and its product where nobody has entered that yet. This is the definer's doing,
-- so whoever records orders needs the right to insert them and no other.

CREATE OR REPLACE TRIGGER orders_make_their_item AFTER INSERT ON orders FOR EACH ROW
BEGIN
    DECLARE known INT UNSIGNED;
    IF NEW.product_name IS NOT NULL THEN
        SET known = (SELECT id FROM product WHERE product_name = NEW.product_name);
        IF known IS NULL THEN
            -- Another order may have just made it; then its id is taken over.
            INSERT INTO product (product_name) VALUES (NEW.product_name)
            ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id);
            SET known = LAST_INSERT_ID();
        END IF;
        INSERT INTO order_item (order_id, product_id, quantity, order_date, price_per_item)
        VALUES (NEW.id, known, NEW.quantity, NEW.order_date, NEW.price_per_item);
    END IF;
END;
