"""Totals of orders, in cents. An order is a list of (price in cents, quantity)."""


def private_total(order, coupon=None):
    total = 0
    for price, quantity in order:
        if quantity >= 10:
            total = total + price * quantity - price * quantity * 5 // 100
        else:
            total = total + price * quantity
    if coupon == "SPRING":
        total = total - total * 10 // 100
    elif coupon == "LOYAL":
        total = total - total * 15 // 100
    elif coupon is not None:
        raise ValueError("unknown coupon " + repr(coupon))
    if total < 5000:
        total = total + 490
    total = total + total * 19 // 100
    return total


def business_total(order, coupon=None):
    total = 0
    for price, quantity in order:
        if quantity >= 10:
            total = total + price * quantity - price * quantity * 5 // 100
        else:
            total = total + price * quantity
    if coupon == "SPRING":
        total = total - total * 10 // 100
    elif coupon == "LOYAL":
        total = total - total * 15 // 100
    elif coupon is not None:
        raise ValueError("unknown coupon " + repr(coupon))
    if total < 20000:
        total = total + 990
    return total


def club_total(order, coupon=None):
    total = 0
    for price, quantity in order:
        if quantity >= 10:
            total = total + price * quantity - price * quantity * 5 // 100
        else:
            total = total + price * quantity
    if coupon == "SPRING":
        total = total - total * 10 // 100
    elif coupon == "LOYAL":
        total = total - total * 15 // 100
    elif coupon is not None:
        raise ValueError("unknown coupon " + repr(coupon))
    total = total - total * 3 // 100
    total = total + total * 19 // 100
    return total
