-- The shop's catalogue and sales. Times are in UTC. Names are compared byte by byte, trailing spaces included.

CREATE TABLE IF NOT EXISTS product_group (
    product_group_number INT UNSIGNED NOT NULL,
    product_group_name VARCHAR(200) NOT NULL,
    PRIMARY KEY (product_group_number)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- Where products go that were sold before anybody entered them.
INSERT INTO product_group (product_group_number, product_group_name) VALUES (9999, 'Unassigned')
ON DUPLICATE KEY UPDATE product_group_number = product_group_number;

CREATE TABLE IF NOT EXISTS product (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT,
    product_name VARCHAR(200) NOT NULL,
    product_group INT UNSIGNED NOT NULL DEFAULT 9999,
    price DECIMAL(11, 4) NULL,
    PRIMARY KEY (id),
    UNIQUE KEY product_name (product_name),
    CONSTRAINT product_has_group FOREIGN KEY (product_group) REFERENCES product_group (product_group_number)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- An order of the pipeline carries its orderID and what was ordered; one from elsewhere has its items beside it only.
CREATE TABLE IF NOT EXISTS orders (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    order_date DATETIME(3) NOT NULL,
    order_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    customer_id VARCHAR(64) NULL,
    product_name VARCHAR(200) NULL,
    quantity INT UNSIGNED NULL,
    price_per_item DECIMAL(11, 4) NULL,
    PRIMARY KEY (id),
    UNIQUE KEY order_key (order_key)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;

-- The order's date is copied here so that one index answers what was sold between two moments.
CREATE TABLE IF NOT EXISTS order_item (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    order_id BIGINT UNSIGNED NOT NULL,
    product_id INT UNSIGNED NOT NULL,
    quantity INT UNSIGNED NOT NULL,
    order_date DATETIME(3) NOT NULL,
    price_per_item DECIMAL(11, 4) NULL,
    PRIMARY KEY (id),
    KEY sales_by_date (order_date, product_id, quantity),
    CONSTRAINT item_has_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
    CONSTRAINT item_has_product FOREIGN KEY (product_id) REFERENCES product (id)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin;
