-- The sky index of every catalogue holds the declination too.
DO $$
DECLARE
    known text;
BEGIN
    FOR known IN SELECT c.catalog FROM ref.catalog AS c ORDER BY c.catalog LOOP
        EXECUTE format('DROP INDEX IF EXISTS ref.%I', known || '_sky');
        EXECUTE format('CREATE INDEX %I ON ref.%I (q3c_ang2ipix(ra_j1954, dec_j1954), dec_j1954)', known || '_sky', known);
    END LOOP;
END
$$;
