SELECT pg_temp.index_sky('q3c_ang2ipix(ra_j1954, dec_j1954)');
DROP FUNCTION pg_temp.index_sky(text);
