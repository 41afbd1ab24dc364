-- Residual solutions of images, fitted to stars of known position.
SELECT 1;
