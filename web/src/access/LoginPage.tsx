import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import mark from "../mark.svg";
import { access } from "../api/calls";
import { API } from "../api/client";
import { Button, buttonLook, Input } from "../parts/basics";
import { Trouble } from "../parts/loading";
import { nextOf } from "./next";

export default function LoginPage() {
  const [search] = useSearchParams();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [isKey, setKey] = useState(false);
  const [user, setUser] = useState("");
  const [secret, setSecret] = useState("");
  const next = nextOf(search.get("next"));
  const methods = useQuery({ queryKey: ["methods"], queryFn: access.methods, staleTime: Infinity, retry: false });
  const signIn = useMutation({
    mutationFn: () => access.signIn(isKey ? { key: secret } : { user, password: secret }),
    onSuccess: () => {
      client.clear();
      void navigate(next, { replace: true });
    },
  });
  return (
    <main className="grid min-h-dvh place-items-center bg-side p-4">
      <title>Sign in · Streamflow</title>
      <div className="w-full max-w-sm rounded-[8px] border border-line bg-card p-6 shadow-xl">
        <h1 className="mb-5 flex items-center gap-3 text-[18px]">
          <img src={mark} alt="" width={32} height={32} /> Streamflow
        </h1>
        {methods.data?.organisation && (
          <>
            <a
              href={`${API}/session/oidc?to=${encodeURIComponent(next)}`}
              className={`${buttonLook("primary")} w-full`}
            >
              Sign in with your organisation
            </a>
            <p className="my-4 text-center text-[12px] text-muted">or</p>
          </>
        )}
        <form
          className="space-y-3"
          onSubmit={(event) => {
            event.preventDefault();
            signIn.mutate();
          }}
        >
          {!isKey && (
            <label className="block">
              Name
              <Input
                required
                autoComplete="username"
                className="mt-1 w-full"
                value={user}
                onChange={(event) => setUser(event.target.value)}
              />
            </label>
          )}
          <label className="block">
            {isKey ? "API key, or token of the server" : "Password"}
            <Input
              required
              type="password"
              autoComplete={isKey ? "off" : "current-password"}
              className="mt-1 w-full"
              value={secret}
              onChange={(event) => setSecret(event.target.value)}
            />
          </label>
          {signIn.isError && <Trouble error={signIn.error} />}
          <Button
            type="submit"
            look={methods.data?.organisation ? "plain" : "primary"}
            className="w-full"
            disabled={signIn.isPending}
          >
            Sign in
          </Button>
        </form>
        <button
          type="button"
          className="mt-4 w-full text-center text-accent hover:underline"
          onClick={() => {
            setKey(!isKey);
            setSecret("");
            signIn.reset();
          }}
        >
          {isKey ? "Use a name and password" : "Use an API key"}
        </button>
      </div>
    </main>
  );
}
