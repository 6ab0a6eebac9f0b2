#!/bin/bash
set -euo pipefail
cat >shop.py <<'PY'
"""Totals of orders, in cents. An order is a list of (price in cents, quantity)."""

BULK, BULK_PERCENT = 10, 5
COUPONS = {None: 0, "SPRING": 10, "LOYAL": 15}
CLUB_PERCENT = 3
TAX_PERCENT = 19


def _less(amount, percent):
    return amount - amount * percent // 100


def _goods(order, coupon):
    if coupon not in COUPONS:
        raise ValueError("unknown coupon " + repr(coupon))
    lines = (
        _less(price * quantity, BULK_PERCENT) if quantity >= BULK else price * quantity
        for price, quantity in order
    )
    return _less(sum(lines), COUPONS[coupon])


def _shipped(total, free_from, cost):
    return total + (cost if total < free_from else 0)


def _taxed(total):
    return total + total * TAX_PERCENT // 100


def private_total(order, coupon=None):
    return _taxed(_shipped(_goods(order, coupon), 5000, 490))


def business_total(order, coupon=None):
    return _shipped(_goods(order, coupon), 20000, 990)


def club_total(order, coupon=None):
    return _taxed(_less(_goods(order, coupon), CLUB_PERCENT))
PY
python3 -m pytest -q -p no:cacheprovider
