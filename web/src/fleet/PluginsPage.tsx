import { useQuery } from "@tanstack/react-query";
import { catalog } from "../api/calls";
import { Card, Empty, PageHead } from "../parts/basics";
import { Loaded } from "../parts/loading";
import OperationCard from "./OperationCard";

export default function PluginsPage() {
  const query = useQuery({ queryKey: ["catalog", "operations"], queryFn: catalog.operations });
  const served = useQuery({ queryKey: ["operations"], queryFn: catalog.served });
  return (
    <>
      <PageHead title="Plugins" sub="Operations that programs outside Streamflow registered." />
      <Loaded query={query}>
        {(page) => {
          const rows = page.rows.filter((one) => one.kind === "plugin");
          if (rows.length === 0)
            return (
              <Card>
                <Empty title="No plugin is registered.">Register one with streamflow operations register.</Empty>
              </Card>
            );
          return (
            <div className="grid gap-4 lg:grid-cols-2">
              {rows.map((one) => (
                <OperationCard
                  key={one.name}
                  operation={one}
                  served={served.data?.find((each) => each.name === one.name)}
                />
              ))}
            </div>
          );
        }}
      </Loaded>
    </>
  );
}
